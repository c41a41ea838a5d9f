//! What Redis refuses, and what helps.

/// `text`, a refusal as Redis wrote it, with what helps where that is known.
pub(super) fn explained(text: &str) -> String {
    match remedy(text) {
        Some(remedy) => format!("{text} ({remedy})"),
        None => text.to_owned(),
    }
}

fn remedy(text: &str) -> Option<&'static str> {
    let says = |words: &str| text.contains(words);
    Some(if says("NOAUTH") {
        "Redis wants a password, and the configuration has none for it"
    } else if says("WRONGPASS") {
        "Redis has no such user, it is off, or its password is another"
    } else if says("called without any password configured") {
        "this Redis wants no password, but the configuration has one"
    } else if says("NOPERM") || says("can't run this command") {
        "the user lacks a right; `fanwire check --connect` says which"
    } else if says("READONLY") {
        "this Redis is a replica"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, help: &str) {
        let told = explained(text);
        assert!(told.starts_with(text) && told.contains(help), "{told}");
    }

    #[test]
    fn refusals_are_told_with_what_helps() {
        check("NOAUTH Authentication required.", "wants a password");
        check("WRONGPASS invalid username-password pair or user is disabled.", "its password is another");
        check(
            "Redis refused the heartbeat: NOPERM this user has no permissions to run the 'eval' command",
            "--connect",
        );
        check("ERR The user executing the script can't run this command or subcommand script: 1", "--connect");
        check("READONLY You can't write against a read only replica.", "replica");
        assert_eq!(explained("OOM command not allowed"), "OOM command not allowed");
    }
}
