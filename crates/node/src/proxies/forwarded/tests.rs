#![allow(clippy::unwrap_used)]
use super::{
    super::tests::headers,
    ForwardedHeader::{Forwarded, XForwardedFor},
    *,
};
use proptest::prelude::*;

const PROXY: &str = "10.0.0.1";

/// Who `PROXY`, which is trusted like all of its network, stands for when it sends these lines of `Forwarded`.
#[track_caller]
fn check(lines: &[&str], client: &str) {
    assert_eq!(client_of(lines), client.parse::<IpAddr>().unwrap(), "{lines:?}");
}

fn client_of(lines: &[impl AsRef<[u8]>]) -> IpAddr {
    let trusted = TrustedProxies::parse(&["10.0.0.0/8", "fd00::/8"]).unwrap();
    Forwarded.client(&trusted, PROXY.parse().unwrap(), &headers("forwarded", lines))
}

#[test]
fn the_last_address_that_is_not_trusted_is_the_clients() {
    check(&[], PROXY);
    check(&["for=1.2.3.4"], "1.2.3.4");
    check(&["for=6.6.6.6, for=1.2.3.4"], "1.2.3.4");
    check(&["for=6.6.6.6,for=1.2.3.4 ,\tfor=10.9.9.9;by=10.0.0.1,for=\"[fd00::7]\""], "1.2.3.4");
    check(&["for=6.6.6.6", "for=1.2.3.4;proto=https", "by=10.0.0.2;for=10.0.0.2"], "1.2.3.4");
    check(&["for=10.0.0.3, for=10.0.0.2"], "10.0.0.3");
}

#[test]
fn an_element_is_read_however_it_is_spelled() {
    for (element, client) in [
        ("FOR=1.2.3.4", "1.2.3.4"),
        ("for=\"1.2.3.4\"", "1.2.3.4"),
        ("for=\"1.2.\\3.4\"", "1.2.3.4"),
        ("for=\"1.2.3.4:5678\"", "1.2.3.4"),
        ("for=1.2.3.4:5678", "1.2.3.4"),
        ("for=\"1.2.3.4:_gazonk\"", "1.2.3.4"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=\"[2001:db8::1]\"", "2001:db8::1"),
        ("for=[2001:db8::1]", "2001:db8::1"),
        ("for=\"[::ffff:1.2.3.4]\"", "1.2.3.4"),
        ("for=1.2.3.4;proto=http;by=203.0.113.43;host=a.example;secret=_x", "1.2.3.4"),
        ("host=\"a, for=6.6.6.6\" ; for=1.2.3.4", "1.2.3.4"),
        ("host=\"\\\", for=6.6.6.6, \\\"\";for=1.2.3.4;", "1.2.3.4"),
        ("for=1.2.3.4;;", "1.2.3.4"),
        (", for=1.2.3.4,,", "1.2.3.4"),
    ] {
        check(&[element], client);
        check(&["for=6.6.6.6", element], client);
    }
}

#[test]
fn nothing_before_what_names_no_address_is_believed() {
    for element in [
        "for=unknown",
        "for=\"unknown\"",
        "for=_hidden",
        "for=\"_SEVKISEK\"",
        "proto=https",
        "for=\"\"",
        "for=1.2.3",
        "for=010.0.0.9",
        "for=2001:db8::1",
        "for=\"[2001:db8::1\"",
        "for=\"[1.2.3.4]\"",
        "for=\"1.2.3.4:\"",
        "for=\"1.2.3.4:x\"",
        "for=\"1.2.3.4:_\"",
        "for=\"1.2.3.4:123456\"",
        "for=\"[::1]x\"",
        "for='1.2.3.4'",
    ] {
        check(&[&format!("for=6.6.6.6, {element}")], PROXY);
        check(&["for=6.6.6.6", &format!("{element}, for=10.0.0.2"), "for=10.0.0.3"], "10.0.0.2");
    }
}

#[test]
fn nothing_in_a_line_that_cannot_be_read_is_believed() {
    for element in [
        "for",
        "for=",
        "=1.2.3.4",
        "for=1.2.3.4;for=6.6.6.6",
        "for=1.2.3.4 ;x",
        "for =1.2.3.4",
        "for= 1.2.3.4",
        "for=1.2.3.4 for=6.6.6.6",
        "for=\"1.2.3.4",
        "for=1.2.3.4\"",
        "host=\"\\",
        "f\u{e4}r=1.2.3.4",
        "for=\"\u{e4}\";proto=\"\u{e4}",
        "1.2.3.4",
    ] {
        check(&[&format!("for=6.6.6.6, {element}")], PROXY);
        check(&[&format!("{element}, for=1.2.3.4")], PROXY);
        check(&["for=6.6.6.6", &format!("{element}, for=10.0.0.2"), "for=10.0.0.3"], "10.0.0.3");
    }
}

#[test]
fn an_element_has_so_many_pairs() {
    let with = |count: usize| (1..count).map(|number| format!("x{number}=y;")).collect::<String>() + "for=1.2.3.4";
    check(&[&with(16)], "1.2.3.4");
    check(&[&with(17)], PROXY);
    check(&[&with(100_000)], PROXY);
}

#[test]
fn only_the_header_that_was_chosen_counts() {
    let trusted = TrustedProxies::parse(&["10.0.0.0/8"]).unwrap();
    let mut both = headers("forwarded", &["for=1.2.3.4;proto=https"]);
    both.extend(headers("x-forwarded-for", &["5.6.7.8"]));
    both.extend(headers("x-forwarded-proto", &["http"]));
    let told = |header: ForwardedHeader| {
        (header.client(&trusted, PROXY.parse().unwrap(), &both).to_string(), header.scheme(&both))
    };
    assert_eq!(told(Forwarded), ("1.2.3.4".to_owned(), Some(Scheme::Https)));
    assert_eq!(told(XForwardedFor), ("5.6.7.8".to_owned(), Some(Scheme::Http)));
    assert_eq!(Forwarded.scheme(&headers("x-forwarded-proto", &["https"])), None);
    assert_eq!(XForwardedFor.scheme(&headers("forwarded", &["proto=https"])), None);
}

#[test]
fn the_nearest_proxy_tells_the_scheme() {
    let check = |header: ForwardedHeader, name, lines: &[&str], scheme| {
        assert_eq!(header.scheme(&headers(name, lines)), scheme, "{lines:?}");
    };
    let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
    for (lines, scheme) in [
        (&["https"][..], https),
        (&["HTTP"], http),
        (&["http, https"], https),
        (&["http", "https"], https),
        (&["https, ftp"], None),
        (&[], None),
    ] {
        check(XForwardedFor, "x-forwarded-proto", lines, scheme);
    }
    for (lines, scheme) in [
        (&["for=1.2.3.4;proto=https"][..], https),
        (&["Proto=\"HTTP\""], http),
        (&["proto=http, proto=https"], https),
        (&["proto=http", "proto=https;for=unknown"], https),
        (&["proto=https, for=1.2.3.4"], None),
        (&["proto=https", "proto=\"https"], None),
        (&["proto=ftp"], None),
        (&[], None),
    ] {
        check(Forwarded, "forwarded", lines, scheme);
    }
}

/// What clients may send: bytes of which many are such as mean something.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "(for|proto|by|host|x)=".prop_map(String::into_bytes),
        "[,;\"\\\\= \\[\\]:]".prop_map(String::into_bytes),
        "6\\.6\\.6\\.6|unknown|_x|\\[::6\\]".prop_map(String::into_bytes),
        prop::collection::vec(32u8..=255, 0..3),
    ];
    prop::collection::vec(piece, 0..12)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("a header", |line| HeaderValue::from_bytes(line).is_ok())
}

proptest! {
    #[test]
    fn no_client_passes_for_another(mut lines in prop::collection::vec(line(), 1..4), adds_to_line in any::<bool>()) {
        let told = b"for=1.2.3.4;host=\"x\"";
        let (client, proxy): (IpAddr, IpAddr) = ([1, 2, 3, 4].into(), PROXY.parse().unwrap());
        if adds_to_line {
            lines.last_mut().unwrap().extend([b", ", &told[..]].concat());
            let found = client_of(&lines);
            prop_assert!(found == client || found == proxy, "{found}");
        } else {
            lines.push(told.to_vec());
            prop_assert_eq!(client_of(&lines), client);
        }
    }

    #[test]
    fn whatever_is_quoted_stays_in_its_quotes(host in line(), others in line()) {
        let escaped: Vec<u8> = host.iter().flat_map(|byte| [b'\\', *byte]).collect();
        let quoted = [&b"host=\""[..], &escaped, b"\";for=1.2.3.4"].concat();
        prop_assert_eq!(client_of(&[others, quoted]), IpAddr::from([1, 2, 3, 4]));
    }
}
