//! What must hold between values.

use super::{Config, Effective, problem::Problem};

/// The rules that `config` breaks.
pub(crate) fn broken(config: &Config, effective: &Effective) -> Vec<Problem> {
    let Config { server, internal, outbox, drain, limits, .. } = config;
    let rule = |holds: bool, key: &str, words: &str, others: &[&str]| {
        if holds { None } else { problem(effective, key, words, others) }
    };
    let apart = server.listen != internal.listen || server.listen.port() == 0;
    [
        rule(apart, "internal.listen", "must differ from", &["server.listen"]),
        rule(limits.message <= outbox.limit, "limits.message", "must be at most", &["outbox.limit"]),
        rule(
            drain.deadline > drain.grace + drain.window,
            "drain.deadline",
            "must be more than the sum of",
            &["drain.grace", "drain.window"],
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn problem(effective: &Effective, key: &str, words: &str, others: &[&str]) -> Option<Problem> {
    let told = |key: &&str| effective.get(key).map(|(literal, origin)| format!("{key} = {literal} ({origin})"));
    let others: Vec<_> = others.iter().filter_map(told).collect();
    let (literal, origin) = effective.get(key)?;
    Some(Problem::value(key, literal, origin, format!("{words} {}", others.join(" and "))))
}
