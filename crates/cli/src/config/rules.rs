//! What must hold between values.

use super::{Config, Effective, PUBLIC_TLS, auth, groups::INTERNAL_TLS, namespaces, problem::Problem};
use fanwire_node::{ForwardedHeader, WhenUnknown, Who};

/// The rules that `config` breaks.
pub(crate) fn broken(config: &Config, effective: &Effective) -> Vec<Problem> {
    let Config { server, internal, outbox, drain, limits, .. } = config;
    let rule = |holds: bool, key: &str, words: &str, others: &[&str]| {
        if holds { None } else { problem(effective, key, words, others) }
    };
    let believed_of = |is_off: bool, key: &str| {
        let holds = is_off || !server.trusted_proxies.is_empty();
        rule(holds, key, "is believed only from proxies, and there are none in", &["server.trusted_proxies"])
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
        believed_of(server.user_header.is_empty(), "server.user_header"),
        believed_of(server.forwarded_header == ForwardedHeader::default(), "server.forwarded_header"),
        believed_of(!server.proxy_protocol, "server.proxy_protocol"),
        rule(
            server.user_header.is_empty() || !config.auth.is_on(),
            "server.user_header",
            "is not believed where tokens say who the user is, as with",
            &[if config.auth.keys.is_empty() { "auth.jwks" } else { "auth.keys" }],
        ),
        rule(
            limits.everywhere == 0 || limits.user_connections <= limits.everywhere,
            "limits.user.connections",
            "must be at most",
            &["limits.user.everywhere"],
        ),
        rule(
            limits.everywhere == 0 || config.auth.is_on() || !server.user_header.is_empty(),
            "limits.user.everywhere",
            "means nothing where nobody tells who the user is, as with",
            &["auth.keys", "server.user_header"],
        ),
        rule(
            limits.everywhere > 0 || limits.when_unknown == WhenUnknown::Allow,
            "limits.user.when_unknown",
            "means nothing with",
            &["limits.user.everywhere"],
        ),
        config.tls.broken(PUBLIC_TLS, effective),
        internal.tls.broken(INTERNAL_TLS, effective),
        config.redis.broken(effective),
        config.auth.useless(effective).or_else(|| useless_allowance(config, effective)),
    ]
    .into_iter()
    .flatten()
    .chain(unseen(config, effective))
    .collect()
}

/// Namespaces that are to tell who is there, or who comes and goes, but see nobody.
fn unseen(config: &Config, effective: &Effective) -> Vec<Problem> {
    let blind = config.namespaces.0.iter().filter(|(_, namespace)| !namespace.presence);
    let useless = blind.flat_map(|(name, namespace)| {
        let told = namespace.join_leave.then_some("join_leave");
        let allowed = (namespace.allow.presence != Who::default()).then_some("allow.presence");
        told.into_iter().chain(allowed).map(move |key| (name, key))
    });
    let problems = useless.filter_map(|(name, key)| {
        let [useless, presence] = [key, "presence"].map(|key| format!("namespaces.{name}.{key}"));
        problem(effective, &useless, "means nothing with", &[&presence])
    });
    problems.collect()
}

fn useless_allowance(config: &Config, effective: &Effective) -> Option<Problem> {
    let key = namespaces::allowing(&config.namespaces, &config.broadcast).filter(|_| !config.auth.is_on())?;
    auth::without_keys(effective, &key)
}

/// What works, though hardly as it was meant.
pub(crate) fn doubtful(config: &Config, effective: &Effective) -> impl Iterator<Item = String> {
    [disorderly_drain(config, effective), echo(config, effective)].into_iter().flatten()
}

/// A deadline within `close.timeout` of the last close is no mistake where it matters more that the node has gone than
/// how: it then cuts off those that haven't answered their Close yet.
fn disorderly_drain(config: &Config, effective: &Effective) -> Option<String> {
    let Config { drain, close, .. } = config;
    let orderly = drain.deadline > drain.grace + drain.window + close.timeout;
    (!orderly).then(|| {
        format!(
            "{} is not more than the sum of {}: a client that never answers its Close makes a drain end at the \
             deadline, with exit code 1",
            told(effective, &["drain.deadline"]),
            told(effective, &["drain.grace", "drain.window", "close.timeout"])
        )
    })
}

fn echo(config: &Config, effective: &Effective) -> Option<String> {
    config.conformance.echo.then(|| {
        format!(
            "{}: connections without a subprotocol get back whatever they send and no broadcasts, for conformance \
             suites alone; clients want it false",
            told(effective, &["conformance.echo"])
        )
    })
}

fn problem(effective: &Effective, key: &str, words: &str, others: &[&str]) -> Option<Problem> {
    let (literal, origin) = effective.get(key)?;
    Some(Problem::value(key, literal, origin, format!("{words} {}", told(effective, others))))
}

/// The values of `keys` with their origins.
fn told(effective: &Effective, keys: &[&str]) -> String {
    let told = |key: &&str| effective.get(key).map(|(literal, origin)| format!("{key} = {literal} ({origin})"));
    keys.iter().filter_map(told).collect::<Vec<_>>().join(" and ")
}
