#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

fn origins(allowed: &[&str]) -> Origins {
    Origins { allowed: allowed.iter().map(|text| OriginPattern::parse(text).unwrap()).collect(), ..Origins::default() }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().fold(HeaderMap::new(), |mut headers, (name, value)| {
        headers.append(*name, value.parse().unwrap());
        headers
    })
}

#[track_caller]
fn check(origins: &Origins, scheme: Scheme, lines: &[(&'static str, &str)], expected: Result<(), Foreign>) {
    let got = origins.check(scheme, &Uri::from_static("/"), &headers(lines));
    assert_eq!(got, expected, "{lines:?} over {scheme:?} with {origins:?}");
}

#[test]
fn without_configuration_only_the_same_host_may() {
    for (scheme, host, origin, may) in [
        (Scheme::Http, "example.com", "http://example.com", true),
        (Scheme::Http, "example.com:80", "http://example.com", true),
        (Scheme::Http, "EXAMPLE.com:8765", "http://example.COM:8765", true),
        (Scheme::Http, "[::1]:8765", "http://[::1]:8765", true),
        (Scheme::Https, "example.com", "https://example.com", true),
        (Scheme::Https, "example.com:443", "https://example.com:443", true),
        (Scheme::Https, "example.com", "http://example.com", false),
        (Scheme::Http, "example.com", "https://example.com", false),
        (Scheme::Http, "example.com", "http://example.com:8080", false),
        (Scheme::Http, "example.com:8080", "http://example.com", false),
        (Scheme::Http, "example.com", "http://example.com.evil.example", false),
        (Scheme::Http, "example.com", "http://evil.example", false),
        (Scheme::Http, "example.com", "http://www.example.com", false),
        (Scheme::Http, "example.com", "http://example.com/", false),
        (Scheme::Http, "example.com", "http://user@example.com", false),
        (Scheme::Http, "example.com", "http://example.com http://evil.example", false),
        (Scheme::Http, "example.com", "example.com", false),
        (Scheme::Http, "example.com", "null", false),
        (Scheme::Http, "null", "null", false),
        (Scheme::Http, "example.com", "", false),
        (Scheme::Http, "a b", "http://a b", false),
        (Scheme::Http, "example.com", "http://example.com:99999", false),
        (Scheme::Http, "example.com", "http://example.com:+80", false),
    ] {
        let expected = if may { Ok(()) } else { Err(Foreign::Origin) };
        check(&Origins::default(), scheme, &[("host", host), ("origin", origin)], expected);
    }
}

#[test]
fn configured_origins_are_exact_but_for_stars_within_a_label() {
    for (pattern, origin, may) in [
        ("https://example.com", "https://example.com", true),
        ("https://example.com:443", "https://EXAMPLE.com", true),
        ("https://example.com", "http://example.com", false),
        ("https://example.com", "https://example.com:8443", false),
        ("https://example.com:8443", "https://example.com:8443", true),
        ("https://example.com:8443", "https://example.com", false),
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://a.b.example.com", false),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://.example.com", false),
        ("https://*.example.com", "https://a.example.com.evil.example", false),
        ("https://*.example.com", "https://evilexample.com", false),
        ("https://*.*.example.com", "https://a.b.example.com", true),
        ("https://app-*.example.com", "https://app-7.example.com", true),
        ("https://app-*.example.com", "https://app-.example.com", false),
        ("https://a*b*c.example", "https://a1b2c.example", true),
        ("https://a*b*c.example", "https://a1bc.example", false),
        ("https://a*b*c.example", "https://abbbc.example", true),
        ("https://*.example.com", "https://*.example.com", false),
        ("capacitor://localhost", "capacitor://localhost", true),
        ("https://example.com", "null", false),
    ] {
        let expected = if may { Ok(()) } else { Err(Foreign::Origin) };
        check(&origins(&[pattern]), Scheme::Http, &[("host", "node"), ("origin", origin)], expected);
    }
}

#[test]
fn with_configured_origins_the_host_does_not_matter() {
    let origins = origins(&["https://a.example", "https://b.example"]);
    let may = |origin, expected| check(&origins, Scheme::Http, &[("host", "node"), ("origin", origin)], expected);
    may("https://b.example", Ok(()));
    may("http://node", Err(Foreign::Origin));
}

#[test]
fn a_request_without_an_origin_is_let_in_unless_it_must_have_one() {
    check(&Origins::default(), Scheme::Http, &[("host", "node")], Ok(()));
    let required = Origins { required: true, ..Origins::default() };
    check(&required, Scheme::Http, &[("host", "node")], Err(Foreign::Missing));
    check(&required, Scheme::Http, &[("host", "node"), ("origin", "http://node")], Ok(()));
}

#[test]
fn a_request_that_says_something_twice_is_foreign() {
    let twice = [("host", "a"), ("origin", "http://a"), ("origin", "http://a")];
    check(&Origins::default(), Scheme::Http, &twice, Err(Foreign::Origin));
    check(&origins(&["http://a"]), Scheme::Http, &twice, Err(Foreign::Origin));
    let hosts = [("host", "a"), ("host", "a"), ("origin", "http://a")];
    check(&Origins::default(), Scheme::Http, &hosts, Err(Foreign::Origin));
    check(&Origins::default(), Scheme::Http, &[("origin", "http://a")], Err(Foreign::Origin));
}

#[test]
fn the_request_target_names_the_host_where_it_is_absolute() {
    let uri = Uri::from_static("http://a:8765/x");
    let lines = headers(&[("host", "b"), ("origin", "http://a:8765")]);
    assert_eq!(Origins::default().check(Scheme::Http, &uri, &lines), Ok(()));
}

#[test]
fn on_loopback_the_host_must_be_this_machine() {
    let loopback = Origins { loopback_only: true, ..Origins::default() };
    for (host, may) in [
        ("localhost", true),
        ("LOCALHOST:8765", true),
        ("localhost.:8765", true),
        ("app.localhost:8765", true),
        ("127.0.0.1:8765", true),
        ("127.1.2.3", true),
        ("[::1]:8765", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("rebound.evil.example:8765", false),
        ("localhost.evil.example", false),
        ("notlocalhost", false),
        ("127.0.0.1.evil.example", false),
        ("10.0.0.1", false),
        ("0.0.0.0", false),
        ("", false),
    ] {
        check(&loopback, Scheme::Http, &[("host", host)], if may { Ok(()) } else { Err(Foreign::Host) });
    }
    check(&loopback, Scheme::Http, &[], Err(Foreign::Host));
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    check(&loopback, Scheme::Http, &rebound, Err(Foreign::Host));
}

#[test]
fn what_is_no_origin_is_no_pattern() {
    for text in
        ["", "*", "null", "example.com", "https://", "https://a/", "https://a:b", "://a", "1a://b", "https://a b"]
    {
        assert_eq!(OriginPattern::parse(text), Err(InvalidOrigin(text.to_owned())), "{text}");
    }
}
