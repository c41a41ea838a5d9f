use super::*;
use fanwire_node::MemoryLimits;
use std::path::PathBuf;

/// Sources of a configuration, on paper.
#[derive(Default)]
struct Case<'a> {
    file: &'a str,
    variables: &'a [(&'a str, &'a str)],
    flags: &'a [(&'static str, &'a str, &'a str)],
}

impl Case<'_> {
    fn load(&self) -> Result<Loaded, Problems> {
        let defaults = Layer::defaults();
        let environment = self.variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let flag = |(name, key, value): &(&'static str, &str, &str)| Flag {
            name,
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let mut problems = Problems::default();
        let file = problems.catch(file::parse(self.file, &Origin::file("f.toml".as_ref()), &defaults));
        let inputs = Inputs {
            file: FileChoice::IfPresent(PathBuf::new()),
            environment: &environment,
            flags: self.flags.iter().map(flag).collect(),
        };
        combine(&inputs, &defaults, file, problems)
    }
}

/// The value of `key` and its origin.
#[track_caller]
fn check(case: &Case<'_>, key: &str, value: &str, origin: &str) {
    let loaded = case.load().map_err(|problems| problems.to_string());
    let found =
        loaded.as_ref().map(|loaded| loaded.effective.get(key).map(|(value, origin)| (value, origin.to_string())));
    assert_eq!(found, Ok(Some((value, origin.to_owned()))));
}

/// All problems, each in a line.
#[track_caller]
fn check_wrong(case: &Case<'_>, expected: &[&str]) {
    let told = case.load().map(|_| ()).map_err(|problems| problems.to_string());
    let expected: String = expected.iter().map(|line| format!("\n  {line}")).collect();
    assert_eq!(told, Err(format!("the configuration is wrong:{expected}")));
}

#[test]
fn later_sources_win() {
    let mut case = Case::default();
    check(&case, "heartbeat.interval", r#""20s""#, "default");
    case.file = "heartbeat.interval = '30s'";
    check(&case, "heartbeat.interval", r#""30s""#, "file f.toml");
    case.variables = &[("FANWIRE_HEARTBEAT__INTERVAL", "40s")];
    check(&case, "heartbeat.interval", r#""40s""#, "environment variable FANWIRE_HEARTBEAT__INTERVAL");
    case.flags = &[("--set", "heartbeat.interval", "50s"), ("--set", "heartbeat.interval", "1m")];
    check(&case, "heartbeat.interval", r#""1m""#, "flag --set");
    check(&case, "heartbeat.timeout", r#""20s""#, "default");
}

#[test]
fn values_become_typed() {
    let case = Case {
        file: "[outbox]\nlimit = '2MiB'\npolicy = 'drop_oldest'\n[plain]\nerror = '{\"error\": \"{reason}\"}'",
        variables: &[("FANWIRE_LIMITS__CHANNELS", "7"), ("FANWIRE_REDIS__PREFIX", "007"), ("FANWIRE_REDIS__URL", "")],
        flags: &[("--listen", "server.listen", "[::1]:0")],
    };
    let config = case.load().map(|loaded| loaded.config).map_err(|problems| problems.to_string());
    let Ok(Config { server, redis, outbox, limits, plain, .. }) = config else { panic!("{config:?}") };
    assert_eq!(server.listen.to_string(), "[::1]:0");
    assert_eq!((redis.url.expose(), redis.prefix.as_str()), (None, "007"));
    assert_eq!((outbox.limit.bytes(), outbox.policy), (2 << 20, OutboxPolicy::DropOldest));
    assert_eq!((limits.channels, plain.error.as_str()), (7, r#"{"error": "{reason}"}"#));
}

#[test]
fn a_list_is_written_as_one_in_files_and_with_commas_elsewhere() {
    let key = "server.trusted_proxies";
    let mut case = Case::default();
    check(&case, key, "[]", "default");
    case.file = "server.trusted_proxies = ['10.0.0.0/8', '::1']";
    check(&case, key, r#"["10.0.0.0/8", "::1"]"#, "file f.toml");
    case.variables = &[("FANWIRE_SERVER__TRUSTED_PROXIES", "10.0.0.7, fd00::/8")];
    check(&case, key, r#"["10.0.0.7", "fd00::/8"]"#, "environment variable FANWIRE_SERVER__TRUSTED_PROXIES");
    case.flags = &[("--set", "server.trusted_proxies", " ")];
    check(&case, key, "[]", "flag --set");
}

#[test]
fn certificates_are_one_file_or_a_list_of_them() {
    let mut case = Case { file: "tls.cert = 'a.pem'\ntls.key = 'a.key'", ..Case::default() };
    check(&case, "tls.cert", r#""a.pem""#, "file f.toml");
    let pairs = |case: &Case<'_>| {
        let files = case.load().map(|loaded| loaded.config.tls.files()).map_err(|problems| problems.to_string());
        let files = files.map(|files| files.map(|files| files.pairs)).map(Option::unwrap_or_default);
        files.map(|pairs| pairs.iter().map(|pair| format!("{} {}", pair.cert.display(), pair.key.display())).collect())
    };
    assert_eq!(pairs(&case), Ok(vec!["a.pem a.key".to_owned()]));
    case.file = "[tls]\ncert = ['a.pem', 'b, c.pem']\nkey = ['a.key', 'b.key']";
    assert_eq!(pairs(&case), Ok(vec!["a.pem a.key".to_owned(), "b, c.pem b.key".to_owned()]));
    case.variables = &[("FANWIRE_TLS__CERT", "c.pem, d.pem"), ("FANWIRE_TLS__KEY", "c.key,d.key")];
    assert_eq!(pairs(&case), Ok(vec!["c.pem c.key".to_owned(), "d.pem d.key".to_owned()]));
    case.variables = &[("FANWIRE_TLS__CERT", ""), ("FANWIRE_TLS__KEY", "")];
    assert_eq!(pairs(&case), Ok(Vec::new()));
}

#[test]
fn settings_of_tls_that_do_not_fit_are_told_together_with_what_they_lack() {
    let wrong = |file, expected: &str| check_wrong(&Case { file, ..Case::default() }, &[expected]);
    wrong(
        "tls.cert = ['a', 'b']\ntls.key = 'a'",
        r#"tls.cert = ["a", "b"] (file f.toml): has 2 certificates for 1 keys in tls.key; each needs its own"#,
    );
    wrong(
        "internal.tls.client_ca = 'a'",
        r#"internal.tls.client_ca = "a" (file f.toml): has no use without internal.tls.cert"#,
    );
    wrong("tls.min_version = '1.1'", r#"tls.min_version = "1.1" (file f.toml): expected one of 1.2, 1.3"#);
    wrong("tls.cert = 5", "tls.cert = 5 (file f.toml): expected the path of a file, or a list of those");
}

#[test]
fn the_wrong_item_of_a_list_is_named() {
    let wrong = |item: &str| {
        format!("{item:?} is neither an IP address nor a network, such as 10.0.0.7, 10.0.0.0/8 or fd00::/8")
    };
    for (value, item) in [("nginx", "nginx"), ("10.0.0.0/8,10.0.0.1:80", "10.0.0.1:80"), ("::1,", "")] {
        let shown = value.split(',').map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", ");
        check_wrong(
            &Case { flags: &[("--set", "server.trusted_proxies", value)], ..Case::default() },
            &[&format!("server.trusted_proxies = [{shown}] (flag --set): {}", wrong(item))],
        );
    }
    check_wrong(
        &Case { file: "server.trusted_proxies = '10.0.0.0/8'", ..Case::default() },
        &[r#"server.trusted_proxies = "10.0.0.0/8" (file f.toml): expected a list of texts"#],
    );
    check_wrong(
        &Case { file: "server.trusted_proxies = ['10.0.0.0/8', 5]", ..Case::default() },
        &[r#"server.trusted_proxies = ["10.0.0.0/8", 5] (file f.toml): expected a list of texts"#],
    );
}

#[test]
fn unknown_keys_are_told_with_the_likely_one() {
    let file = |file| Case { file, ..Case::default() };
    check_wrong(
        &file("[heartbeat]\nintervall = '5s'"),
        &[r#"heartbeat.intervall = "5s" (file f.toml): no such key; did you mean heartbeat.interval?"#],
    );
    check_wrong(&file("listen = 5"), &["listen = 5 (file f.toml): no such key; did you mean server.listen?"]);
    check_wrong(
        &file("outbox.size = true"),
        &[
            "outbox.size = true (file f.toml): no such key; the keys of outbox are outbox.kernel, outbox.limit, outbox.policy",
        ],
    );
    check_wrong(
        &file("close = '5s'"),
        &[r#"close = "5s" (file f.toml): no such key; the keys of close are close.timeout"#],
    );
    check_wrong(&file("[zebra]"), &["zebra = {…} (file f.toml): no such key; `fanwire check` lists all keys"]);
    check_wrong(
        &file("[redis]\npassword = 'hunter2'\nuri = 'redis://:hunter2@r'"),
        &[
            r#"redis.password = "***" (file f.toml): no such key; did you mean redis.password_file?"#,
            r#"redis.uri = "redis://:***@r" (file f.toml): no such key; did you mean redis.url?"#,
        ],
    );
    check_wrong(
        &Case { flags: &[("--set", "drain.graze", "1s")], ..Case::default() },
        &[r#"drain.graze = "1s" (flag --set): no such key; did you mean drain.grace?"#],
    );
}

#[test]
fn an_empty_table_of_a_known_group_is_fine() {
    check(&Case { file: "[server]", ..Case::default() }, "server.listen", r#""127.0.0.1:8765""#, "default");
}

#[test]
fn strange_keys_harm_nobody() {
    check_wrong(
        &Case { file: "'a[9223372036854775807]' = 1\n\"b\\n\" = 2", ..Case::default() },
        &[
            r"a[9223372036854775807] = 1 (file f.toml): no such key; `fanwire check` lists all keys",
            r"b\n = 2 (file f.toml): no such key; `fanwire check` lists all keys",
        ],
    );
}

#[test]
fn wrong_values_are_told_with_their_source() {
    let check_value = |key: &str, value: &str, expected: &str| {
        check_wrong(&Case { flags: &[("--set", key, value)], ..Case::default() }, &[&format!("{key} = {expected}")]);
    };
    check_value(
        "heartbeat.interval",
        "20",
        r#""20" (flag --set): expected a time with its unit (ms, s, m, h, d), such as 20s or 1m 30s"#,
    );
    check_value(
        "heartbeat.interval",
        "5M",
        r#""5M" (flag --set): expected a time with its unit (ms, s, m, h, d), such as 20s or 1m 30s"#,
    );
    check_value("heartbeat.interval", "0s", r#""0s" (flag --set): must be from 1s to 1h"#);
    check_value("heartbeat.timeout", "2h", r#""2h" (flag --set): must be from 1s to 1h"#);
    check_value("limits.message", "124B", r#""124B" (flag --set): must be from 125B to 64MiB"#);
    check_value("limits.channels", "0", "0 (flag --set): must be from 1 to 100000");
    check_value("limits.channels", "-1", "-1 (flag --set): expected a whole number");
    check_value("limits.channels", "many", r#""many" (flag --set): expected a whole number"#);
    check_value(
        "outbox.policy",
        "drop-oldest",
        r#""drop-oldest" (flag --set): expected one of disconnect, drop_oldest"#,
    );
    check_value("plain.reply", "thanks", r#""thanks" (flag --set): has {text} 0 times: exactly once is needed"#);
    check_value(
        "server.listen",
        "localhost:8765",
        r#""localhost:8765" (flag --set): expected an IP address with a port, such as 127.0.0.1:8765 or [::]:8765"#,
    );
    check_value(
        "redis.url",
        "rediss://app:hunter2@r?pass=x",
        r#""rediss://app:***@r?***" (flag --set): a Redis URL takes no query (?…) here; expected redis://[[user]:password@]host[:port][/database], rediss:// for TLS, or redis+unix:///path"#,
    );
    check_value(
        "redis.prefix",
        "a{b}",
        r#""a{b}" (flag --set): "a{b}" can't begin names in Redis: 1 to 64 letters, digits, '-', '_', '.' and ':' can"#,
    );
    check_value(
        "log.level",
        "inffo",
        r#""inffo" (flag --set): "inffo" is no level; expected one of off, error, warn, info, debug, trace, or PART=LEVEL"#,
    );
}

#[test]
fn a_file_must_have_the_right_types() {
    check_wrong(
        &Case {
            file: "[limits]\nchannels = '128'\nmessage = 65536\nconnections = 1.5\n[log]\nlevel = ['info']",
            ..Case::default()
        },
        &[
            "limits.message = 65536 (file f.toml): expected a whole number with a unit (B, KB, KiB, MB, MiB, GB, GiB), such as 64KiB",
            "limits.connections = 1.5 (file f.toml): expected a whole number",
            r#"limits.channels = "128" (file f.toml): expected a whole number"#,
            "log.level = [\"info\"] (file f.toml): expected a text",
        ],
    );
}

#[test]
fn broken_toml_is_told_without_quoting_it() {
    check_wrong(
        &Case { file: "[redis]\nurl = \"redis://:hunter2@r\nprefix = 'x'", ..Case::default() },
        &["file f.toml: TOML parse error at line 2, column 26: invalid basic string, expected `\"`"],
    );
}

#[test]
fn rules_between_values_hold() {
    let variables = |variables| Case { variables, ..Case::default() };
    check_wrong(
        &variables(&[("FANWIRE_LIMITS__MESSAGE", "2MiB")]),
        &[
            r#"limits.message = "2MiB" (environment variable FANWIRE_LIMITS__MESSAGE): must be at most outbox.limit = "1MiB" (default)"#,
        ],
    );
    check_wrong(
        &variables(&[("FANWIRE_LIMITS__USER__CONNECTIONS", "3"), ("FANWIRE_LIMITS__USER__EVERYWHERE", "2")]),
        &[
            r#"limits.user.connections = 3 (environment variable FANWIRE_LIMITS__USER__CONNECTIONS): must be at most limits.user.everywhere = 2 (environment variable FANWIRE_LIMITS__USER__EVERYWHERE)"#,
            r#"limits.user.everywhere = 2 (environment variable FANWIRE_LIMITS__USER__EVERYWHERE): means nothing where nobody tells who the user is, as with auth.keys = [] (default) and server.user_header = "" (default)"#,
        ],
    );
    check_wrong(
        &variables(&[("FANWIRE_LIMITS__USER__WHEN_UNKNOWN", "refuse")]),
        &[
            r#"limits.user.when_unknown = "refuse" (environment variable FANWIRE_LIMITS__USER__WHEN_UNKNOWN): means nothing with limits.user.everywhere = 0 (default)"#,
        ],
    );
    check_wrong(
        &variables(&[("FANWIRE_DRAIN__DEADLINE", "12s")]),
        &[
            r#"drain.deadline = "12s" (environment variable FANWIRE_DRAIN__DEADLINE): must be more than the sum of drain.grace = "2s" (default) and drain.window = "10s" (default)"#,
        ],
    );
    check_wrong(
        &variables(&[("FANWIRE_INTERNAL__LISTEN", "127.0.0.1:8765")]),
        &[
            r#"internal.listen = "127.0.0.1:8765" (environment variable FANWIRE_INTERNAL__LISTEN): must differ from server.listen = "127.0.0.1:8765" (default)"#,
        ],
    );
    check_wrong(
        &variables(&[("FANWIRE_SERVER__USER_HEADER", "X-User")]),
        &[
            r#"server.user_header = "X-User" (environment variable FANWIRE_SERVER__USER_HEADER): is believed only from proxies, and there are none in server.trusted_proxies = [] (default)"#,
        ],
    );
    for (key, value, shown) in [("forwarded_header", "Forwarded", r#""Forwarded""#), ("proxy_protocol", "true", "true")]
    {
        check_wrong(
            &Case { flags: &[("--set", &format!("server.{key}"), value)], ..Case::default() },
            &[&format!(
                "server.{key} = {shown} (flag --set): is believed only from proxies, and there are none in server.trusted_proxies = [] (default)"
            )],
        );
    }
    check_wrong(
        &variables(&[("FANWIRE_SERVER__FORWARDED_HEADER", "X-Real-IP")]),
        &[
            r#"server.forwarded_header = "X-Real-IP" (environment variable FANWIRE_SERVER__FORWARDED_HEADER): expected one of X-Forwarded-For, Forwarded"#,
        ],
    );
    check_wrong(
        &variables(&[("FANWIRE_NAMESPACES__ROOM__JOIN_LEAVE", "true")]),
        &[
            r"namespaces.room.join_leave = true (environment variable FANWIRE_NAMESPACES__ROOM__JOIN_LEAVE): means nothing with namespaces.room.presence = false (default)",
        ],
    );
    check_wrong(
        &variables(&[("FANWIRE_SERVER__USER_HEADER", "X User"), ("FANWIRE_SERVER__TRUSTED_PROXIES", "::1")]),
        &[
            r#"server.user_header = "X User" (environment variable FANWIRE_SERVER__USER_HEADER): "X User" is no name of a header, such as X-User: letters, digits and - are"#,
        ],
    );
    let orderly = variables(&[("FANWIRE_DRAIN__DEADLINE", "17001ms")]).load().map(|loaded| loaded.warnings);
    assert_eq!(orderly, Ok(Vec::new()));
    let warnings = variables(&[("FANWIRE_DRAIN__DEADLINE", "17s")]).load().map(|loaded| loaded.warnings);
    let warning = r#"drain.deadline = "17s" (environment variable FANWIRE_DRAIN__DEADLINE) is not more than the sum of drain.grace = "2s" (default) and drain.window = "10s" (default) and close.timeout = "5s" (default): a client that never answers its Close makes a drain end at the deadline, with exit code 1"#;
    assert_eq!(warnings, Ok(vec![warning.to_owned()]));
    let both_free = [("FANWIRE_INTERNAL__LISTEN", "127.0.0.1:0"), ("FANWIRE_SERVER__LISTEN", "127.0.0.1:0")];
    assert!(variables(&both_free).load().is_ok());
}

#[test]
fn namespaces_have_names_of_their_own() {
    let mut case = Case::default();
    check(&case, "namespaces.default.history.size", "0", "default");
    case.file = "[namespaces.chat]\nhistory.size = 7\n[namespaces.Chat-2_x]\n[namespaces.2024.history]";
    check(&case, "namespaces.chat.history.size", "7", "file f.toml");
    check(&case, "namespaces.chat.history.ttl", r#""5m""#, "default");
    check(&case, "namespaces.default.history.size", "0", "default");
    check(&case, "namespaces.Chat-2_x.recover", "true", "default");
    check(&case, "namespaces.2024.recover", "true", "default");
    case.variables = &[("FANWIRE_NAMESPACES__CHAT__HISTORY__SIZE", "8"), ("FANWIRE_NAMESPACES__A_B__RECOVER", "false")];
    check(&case, "namespaces.chat.history.size", "8", "environment variable FANWIRE_NAMESPACES__CHAT__HISTORY__SIZE");
    check(&case, "namespaces.a_b.recover", "false", "environment variable FANWIRE_NAMESPACES__A_B__RECOVER");
    case.flags = &[("--set", "namespaces.chat.history.size", "9"), ("--set", "namespaces.late.history.ttl", "30d")];
    check(&case, "namespaces.chat.history.size", "9", "flag --set");
    check(&case, "namespaces.late.history.ttl", r#""30d""#, "flag --set");
    let names = case.load().map(|loaded| loaded.config.namespaces.0.into_keys().collect::<Vec<_>>());
    assert_eq!(names, Ok(["2024", "Chat-2_x", "a_b", "chat", "default", "late"].map(str::to_owned).to_vec()));
}

#[test]
fn unknown_keys_of_namespaces_are_told_with_the_likely_one() {
    let set = |key| Case { flags: &[("--set", "broadcast.history.size", "1")], file: key, ..Case::default() };
    check_wrong(
        &set("namespaces.chat.histroy.size = 7"),
        &["namespaces.chat.histroy.size = 7 (file f.toml): no such key; did you mean namespaces.chat.history.size?"],
    );
    check_wrong(
        &set("namespaces.chat = 7"),
        &[
            "namespaces.chat = 7 (file f.toml): no such key; the keys of namespaces are namespaces.chat.allow.history, namespaces.chat.allow.presence, namespaces.chat.allow.publish, namespaces.chat.allow.subscribe, namespaces.chat.history.size, namespaces.chat.history.ttl, namespaces.chat.join_leave, namespaces.chat.presence, namespaces.chat.recover",
        ],
    );
    check_wrong(
        &set("[namespaces.'b c']\nrecover = true"),
        &[
            r#"namespaces.b c.recover = true (file f.toml): no such key; "b c" can't name a namespace: 1 to 32 letters, digits, '-' and '_' can"#,
        ],
    );
    let long = format!("namespaces.{}.recover", "x".repeat(33));
    check_wrong(
        &set(&format!("{long} = true")),
        &[&format!(
            r#"{long} = true (file f.toml): no such key; "{}" can't name a namespace: 1 to 32 letters, digits, '-' and '_' can"#,
            "x".repeat(33)
        )],
    );
    check_wrong(
        &Case {
            variables: &[
                ("FANWIRE_NAMESPACES__CHAT__HISTORY_SIZE", "7"),
                ("FANWIRE_NAMESPACES__chat__RECOVER", "true"),
            ],
            ..Case::default()
        },
        &[
            r#"environment variable FANWIRE_NAMESPACES__CHAT__HISTORY_SIZE = "7": no such setting; did you mean FANWIRE_NAMESPACES__CHAT__HISTORY__SIZE?"#,
            r#"environment variable FANWIRE_NAMESPACES__chat__RECOVER = "true": no such setting; did you mean FANWIRE_NAMESPACES__CHAT__RECOVER?"#,
        ],
    );
}

#[test]
fn histories_have_bounds() {
    let check_value = |key: &str, value: &str, expected: &str| {
        check_wrong(&Case { flags: &[("--set", key, value)], ..Case::default() }, &[&format!("{key} = {expected}")]);
    };
    check_value("namespaces.a.history.size", "100001", "100001 (flag --set): must be from 0 to 100000");
    check_value("namespaces.a.history.size", "-1", "-1 (flag --set): expected a whole number");
    check_value("namespaces.a.history.ttl", "999ms", r#""999ms" (flag --set): must be from 1s to 30d"#);
    check_value("broadcast.history.ttl", "31d", r#""31d" (flag --set): must be from 1s to 30d"#);
    check_value("namespaces.a.recover", "yes", r#""yes" (flag --set): expected true or false"#);
    check_value("broadcast.history.size", "100001", "100001 (flag --set): must be from 0 to 100000");
}

#[test]
fn memory_is_bounded_sensibly_or_not_at_all() {
    let set = |key, value, expected: &str| {
        check_wrong(&Case { flags: &[("--set", key, value)], ..Case::default() }, &[expected]);
    };
    set("memory.limit", "15MiB", r#"memory.limit = "15MiB" (flag --set): must be 0B or at least 16MiB"#);
    set("memory.pressure", "100", "memory.pressure = 100 (flag --set): must be from 0 to 99");
    let limits = |limit, pressure| {
        let flags = [("--set", "memory.limit", limit), ("--set", "memory.pressure", pressure)];
        let loaded = Case { flags: &flags, ..Case::default() }.load();
        loaded.map(|loaded| loaded.config.memory.limits()).map_err(|problems| problems.to_string())
    };
    assert_eq!(limits("0B", "0"), Ok(MemoryLimits { limit: None, pressure: None }));
    assert_eq!(limits("16MiB", "99"), Ok(MemoryLimits { limit: Some(16 << 20), pressure: Some(99) }));
}

#[test]
fn unknown_variables_are_told_with_the_likely_one() {
    let variables = |variables| Case { variables, ..Case::default() };
    check_wrong(
        &variables(&[("FANWIRE_HEARTBEAT_INTERVAL", "5s"), ("FANWIRE_REDIS__PASSWORD", "hunter2"), ("FANWIRES", "1")]),
        &[
            r#"environment variable FANWIRE_HEARTBEAT_INTERVAL = "5s": no such setting; did you mean FANWIRE_HEARTBEAT__INTERVAL?"#,
            r#"environment variable FANWIRE_REDIS__PASSWORD = "***": no such setting; did you mean FANWIRE_REDIS__PASSWORD_FILE?"#,
        ],
    );
    check_wrong(
        &variables(&[("FANWIRE_", "x"), ("FANWIRE_REDIS_URL", "redis://:hunter2@r")]),
        &[
            r#"environment variable FANWIRE_ = "x": no such setting; the names are FANWIRE_GROUP__KEY, such as FANWIRE_SERVER__LISTEN"#,
            r#"environment variable FANWIRE_REDIS_URL = "redis://:***@r": no such setting; did you mean FANWIRE_REDIS__URL?"#,
        ],
    );
}

#[test]
fn service_links_are_ignored_with_one_warning() {
    let links = [
        ("FANWIRE_PORT", "tcp://10.0.0.1:8765"),
        ("FANWIRE_PORT_8765_TCP_PROTO", "tcp"),
        ("FANWIRE_SERVICE_HOST", "10.0.0.1"),
        ("FANWIRE_SERVICE_PORT_WS", "8765"),
        ("FANWIRE_REDIS_PORT", "tcp://10.0.0.2:6379"),
        ("FANWIRE_REDIS_PORT_6379_TCP", "tcp://10.0.0.2:6379"),
        ("FANWIRE_REDIS_SERVICE_HOST", "10.0.0.2"),
        ("FANWIRE_REDIS_SERVICE_PORT", "6379"),
    ];
    let warnings = Case { variables: &links, ..Case::default() }.load().map(|loaded| loaded.warnings);
    let Ok([warning]) = warnings.as_deref() else { panic!("{warnings:?}") };
    for (name, _) in links {
        assert!(warning.contains(name), "{warning}");
    }
    check_wrong(
        &Case { variables: &[("FANWIRE_SERVER_PORT", "8765")], ..Case::default() },
        &[
            r#"environment variable FANWIRE_SERVER_PORT = "8765": no such setting; the names are FANWIRE_GROUP__KEY, such as FANWIRE_SERVER__LISTEN"#,
        ],
    );
}

#[test]
fn a_variable_must_be_unicode() {
    use std::os::unix::ffi::OsStringExt;
    let value = std::ffi::OsString::from_vec(vec![0xff]);
    let environment = Environment::from([("FANWIRE_REDIS__PREFIX".into(), value)]);
    let inputs = Inputs { file: FileChoice::IfPresent("none".into()), environment: &environment, flags: Vec::new() };
    let told = load(&inputs).map(|_| ()).map_err(|problems| problems.to_string());
    let expected = "the configuration is wrong:\n  environment variable FANWIRE_REDIS__PREFIX: is not valid UTF-8";
    assert_eq!(told, Err(expected.to_owned()));
}

#[test]
fn the_settings_of_redis_fit_together() {
    let flags = |flags| Case { flags, ..Case::default() };
    check_wrong(
        &flags(&[("--set", "redis.urls", "redis://s1,redis://:hunter2@s2")]),
        &[
            r#"redis.urls = ["redis://s1", "redis://:***@s2"] (flag --set): is for redis.mode = "sentinel", "spread" and "cluster""#,
        ],
    );
    check_wrong(
        &flags(&[("--set", "redis.mode", "sentinel"), ("--redis", "redis.url", "redis://r")]),
        &[r#"redis.url = "redis://r" (flag --redis): is for redis.mode = "single"; redis.urls names the Sentinels"#],
    );
    check_wrong(
        &flags(&[("--set", "redis.mode", "sentinel")]),
        &["redis.urls = [] (default): names no Sentinel; expected all that watch the primary"],
    );
    check_wrong(
        &flags(&[("--set", "redis.mode", "sentinel"), ("--set", "redis.urls", "redis://s1")]),
        &[r#"redis.master = "" (default): expected the name by which Sentinels know the primary"#],
    );
    check_wrong(
        &flags(&[("--set", "redis.password_file", "secret")]),
        &[r#"redis.password_file = "secret" (flag --set): has no use without a Redis; redis.url says where that is"#],
    );
    check_wrong(
        &flags(&[("--set", "redis.password_file", "/nowhere/s"), ("--redis", "redis.url", "redis://app@r")]),
        &[
            r#"redis.password_file = "/nowhere/s" (flag --set): /nowhere/s: can't be read: No such file or directory (os error 2)"#,
        ],
    );
    check_wrong(
        &flags(&[("--set", "redis.password_file", "/nowhere/s"), ("--redis", "redis.url", "redis://:hunter2@r")]),
        &[
            r#"redis.password_file = "/nowhere/s" (flag --set): a password stands in the Redis URL and in a file; expected one of them"#,
        ],
    );
    check_wrong(
        &flags(&[("--set", "redis.tls.ca", "ca.pem")]),
        &[r#"redis.tls.ca = "ca.pem" (flag --set): has no use without a Redis; redis.url says where that is"#],
    );
    check_wrong(
        &flags(&[("--set", "redis.tls.key", "/nowhere/k"), ("--redis", "redis.url", "redis://r")]),
        &[
            r#"redis.tls.key = "/nowhere/k" (flag --set): certificates are named, but no URL asks for TLS; expected rediss://"#,
        ],
    );
    check_wrong(
        &flags(&[("--set", "redis.tls.ca", "/nowhere/ca"), ("--redis", "redis.url", "rediss://r")]),
        &[
            r#"redis.tls.ca = "/nowhere/ca" (flag --set): /nowhere/ca: can't be read: No such file or directory (os error 2)"#,
        ],
    );
}

#[test]
fn the_settings_of_several_servers_fit_together() {
    let flags = |flags| Case { flags, ..Case::default() };
    for mode in ["spread", "cluster"] {
        let check_wrong = |(key, value): (&str, &str), expected: &str| {
            let flags = [("--set", "redis.mode", mode), ("--set", key, value)];
            check_wrong(&Case { flags: &flags, ..Case::default() }, &[expected]);
        };
        check_wrong(
            ("redis.url", "redis://r"),
            r#"redis.url = "redis://r" (flag --set): is for redis.mode = "single"; redis.urls names the servers"#,
        );
        check_wrong(("redis.master", "main"), r#"redis.master = "main" (flag --set): is for redis.mode = "sentinel""#);
        check_wrong(
            ("redis.urls", "redis://:hunter2@a,redis://A:6379"),
            r#"redis.urls = ["redis://:***@a", "redis://A:6379"] (flag --set): the servers number 1 and 2 are the same; expected each once"#,
        );
    }
    check_wrong(
        &flags(&[("--set", "redis.mode", "spread")]),
        &["redis.urls = [] (default): names no server; expected all over which to spread"],
    );
    check_wrong(
        &flags(&[("--set", "redis.mode", "cluster")]),
        &["redis.urls = [] (default): names no server; expected some of the cluster's"],
    );
    check_wrong(
        &flags(&[("--set", "redis.mode", "cluster"), ("--set", "redis.urls", "redis://a/1")]),
        &[
            r#"redis.urls = ["redis://a/1"] (flag --set): a Redis Cluster has database 0 only; expected URLs without another"#,
        ],
    );
}

#[test]
fn sentinels_are_taken_with_their_secrets_hidden() {
    let variables = [
        ("FANWIRE_REDIS__MODE", "sentinel"),
        ("FANWIRE_REDIS__URLS", "redis://:hunter2@s1, redis://s2:7000"),
        ("FANWIRE_REDIS__MASTER", "redis://app:hunter2@main/2"),
    ];
    let case = Case { variables: &variables, ..Case::default() };
    let origin = |name: &str| format!("environment variable FANWIRE_REDIS__{name}");
    check(&case, "redis.urls", r#"["redis://:***@s1", "redis://s2:7000"]"#, &origin("URLS"));
    check(&case, "redis.master", r#""redis://app:***@main/2""#, &origin("MASTER"));
    let loaded = case.load().map(|loaded| (loaded.config.redis.mode, loaded.config.redis.place()));
    let place = "redis://app:***@main/2 of the Sentinels redis://:***@s1, redis://s2:7000".to_owned();
    assert_eq!(loaded, Ok((RedisMode::Sentinel, Some(place))));
}

const COMMITTED: &str = include_str!("../../../../config/fanwire.toml");

#[test]
fn the_committed_file_holds_every_key_with_its_default() {
    let defaults = Layer::defaults();
    let (file, problems) = file::parse(COMMITTED, &Origin::default_value(), &defaults);
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(file.values(), defaults.values());
}

#[test]
fn the_committed_file_explains_every_key() {
    let lines: Vec<_> = COMMITTED.lines().collect();
    let unexplained: Vec<_> = lines
        .windows(2)
        .filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#') && !pair[0].starts_with("# "))
        .map(|pair| pair[1])
        .collect();
    assert_eq!(unexplained, [""; 0]);
}

#[test]
fn the_effective_configuration_is_a_configuration_file() {
    let case = Case {
        file: "[namespaces.a-b]\nrecover = false\n[plain]\nno_content = \"a\\tb\\u007f\\\"\"\nreply = '{text}\\'",
        ..Case::default()
    };
    let printed = case.load().map(|loaded| loaded.effective.to_string()).map_err(|problems| problems.to_string());
    let Ok(printed) = printed else { panic!("{printed:?}") };
    let again = Case { file: &printed, ..Case::default() }.load();
    let config = again.map(|loaded| loaded.config).map_err(|problems| problems.to_string());
    let Ok(config) = config else { panic!("{config:?}") };
    assert_eq!((config.plain.no_content.as_str(), config.plain.reply.as_str()), ("a\tb\u{7f}\"", "{text}\\"));
    assert_eq!(config.namespaces.0.get("a-b").map(|namespace| namespace.recover), Some(false));
}
