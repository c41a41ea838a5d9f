//! What a node's user must be allowed to do at Redis.

use redis::Cmd;

/// Stands for a key of the node's own.
const KEY: &str = "KEY";

/// Each command that nodes use, as an ACL names it, with arguments that do no harm. They are tried on a key that holds
/// a text, so that those for other types change nothing.
const COMMANDS: &[(&str, &[&str])] = &[
    ("set", &[KEY, "1", "PX", "5000"]),
    ("get", &[KEY]),
    ("xadd", &[KEY, "NOMKSTREAM", "*", "field", "value"]),
    ("xrange", &[KEY, "-", "+", "COUNT", "1"]),
    ("xrevrange", &[KEY, "+", "-", "COUNT", "1"]),
    ("hset", &[KEY, "field", "value"]),
    ("hmget", &[KEY, "field"]),
    ("pexpire", &[KEY, "5000"]),
    ("hget", &[KEY, "field"]),
    ("hgetall", &[KEY]),
    ("hdel", &[KEY, "field"]),
    ("hlen", &[KEY]),
    ("hincrby", &[KEY, "field", "1"]),
    ("zadd", &[KEY, "1", "member"]),
    ("zrem", &[KEY, "member"]),
    ("zcard", &[KEY]),
    ("zscore", &[KEY, "member"]),
    ("zrange", &[KEY, "0", "0"]),
    ("zrevrange", &[KEY, "0", "0"]),
    ("zrangebylex", &[KEY, "-", "+", "LIMIT", "0", "1"]),
    ("zrangebyscore", &[KEY, "-inf", "0", "LIMIT", "0", "1"]),
    ("zremrangebyscore", &[KEY, "-inf", "0"]),
    ("time", &[]),
    ("unlink", &[KEY]),
    ("info", &["replication"]),
    ("eval", &["return 0", "0"]),
    ("evalsha", &["0000000000000000000000000000000000000000", "0"]),
    ("publish", &[KEY, ""]),
];

/// What a node uses at a Redis Cluster besides.
const CLUSTER: &[(&str, &[&str])] = &[("spublish", &[KEY, ""]), ("cluster|slots", &[]), ("ping", &[])];

/// Commands that are not tried, since the login or the round trip shows whether they are allowed.
const SHOWN: &str = "+auth +hello +select +client|setname +subscribe +unsubscribe";

/// As [`SHOWN`], at a Redis Cluster.
const SHOWN_IN_CLUSTER: &str = "+ssubscribe +sunsubscribe";

fn commands(is_cluster: bool) -> impl Iterator<Item = &'static (&'static str, &'static [&'static str])> {
    COMMANDS.iter().chain(if is_cluster { CLUSTER } else { &[] })
}

/// A trial of each command on `key`.
pub(super) fn trials(key: &str, is_cluster: bool) -> impl Iterator<Item = (&'static str, Cmd)> {
    commands(is_cluster).map(move |(name, arguments)| {
        let mut words = name.split('|');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            command.arg(word);
        }
        for argument in *arguments {
            command.arg(if *argument == KEY { key } else { argument });
        }
        (*name, command)
    })
}

/// The command that lets `user` do all that a node does, and nothing else; names begin with `prefix`.
pub(super) fn setuser(user: &str, prefix: &str, is_cluster: bool) -> String {
    let shown = SHOWN.split(' ').chain(SHOWN_IN_CLUSTER.split(' ').filter(|_| is_cluster)).map(str::to_owned);
    let rights: Vec<_> = shown.chain(commands(is_cluster).map(|(name, _)| format!("+{name}"))).collect();
    format!("ACL SETUSER {user} on resetkeys ~{prefix}:* resetchannels &{prefix}:* nocommands {}", rights.join(" "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// Words behind `beginning` in `text`, up to a quotation mark.
    fn behind(text: &str, beginning: &str) -> Vec<String> {
        let words = text.split(beginning).skip(1).map(|rest| rest.split(['\'', '"']).next().unwrap());
        words.map(str::to_ascii_lowercase).collect()
    }

    fn sources(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let sources = entries.flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false if path.ends_with("tests.rs") || path.ends_with("rights.rs") => Vec::new(),
            false => vec![fs::read_to_string(path).unwrap()],
        });
        sources.collect()
    }

    #[test]
    fn every_command_of_a_node_is_among_its_rights() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/redis");
        let line = setuser("app", "fanwire", true);
        let mut seen = 0;
        for text in sources(&source) {
            // What only tests do comes last in a file.
            let text = text.split("#[cfg(test)]").next().unwrap();
            for command in
                ["redis.call('", "redis.pcall('", "redis::cmd(\""].iter().flat_map(|begin| behind(text, begin))
            {
                seen += 1;
                let allowed =
                    |right: &str| right.strip_prefix('+').and_then(|right| right.split('|').next()) == Some(&*command);
                // Sentinels have users of their own.
                assert!(command == "sentinel" || line.split(' ').any(allowed), "{command} is not in {line}");
            }
        }
        assert!(seen > 10, "only {seen} commands were found");
    }

    #[test]
    fn operators_are_given_the_same_lines() {
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/README.md");
        let readme = fs::read_to_string(readme).unwrap();
        for is_cluster in [false, true] {
            let line = setuser("fanwire", "fanwire", is_cluster).replace(" on ", " on >PASSWORD ");
            assert!(readme.lines().any(|written| written == line), "{line} is not in deploy/README.md");
        }
    }
}
