#![allow(clippy::unwrap_used)]
use super::{ForwardedHeader::XForwardedFor, *};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

/// Who `peer` stands for when it is asked with these lines of `X-Forwarded-For`.
#[track_caller]
fn check(trusted: &[&str], peer: &str, lines: &[&str], client: &str) {
    let headers = headers("x-forwarded-for", lines);
    let found = XForwardedFor.client(&TrustedProxies::parse(trusted).unwrap(), peer.parse().unwrap(), &headers);
    assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} with {lines:?}, trusting {trusted:?}");
}

/// Lines of one header.
pub(super) fn headers(name: &'static str, lines: &[impl AsRef<[u8]>]) -> HeaderMap {
    let line = |line: &_| (HeaderName::from_static(name), HeaderValue::from_bytes(AsRef::as_ref(line)).unwrap());
    lines.iter().map(line).collect()
}

#[test]
fn nobody_is_believed_by_default() {
    check(&[], "10.0.0.1", &["1.2.3.4"], "10.0.0.1");
    check(&[], "127.0.0.1", &["1.2.3.4"], "127.0.0.1");
}

#[test]
fn the_last_address_that_is_not_trusted_is_the_clients() {
    let ours = &["10.0.0.0/8", "192.168.0.7", "fd00::/8"];
    check(ours, "10.0.0.1", &[], "10.0.0.1");
    check(ours, "10.0.0.1", &["1.2.3.4"], "1.2.3.4");
    check(ours, "10.0.0.1", &["6.6.6.6, 1.2.3.4"], "1.2.3.4");
    check(ours, "10.0.0.1", &["6.6.6.6,1.2.3.4 ,\t10.9.9.9,192.168.0.7"], "1.2.3.4");
    check(ours, "10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.0.0.2"], "1.2.3.4");
    check(ours, "10.0.0.1", &["2001:db8::1, fd00::5"], "2001:db8::1");
    check(ours, "fd00::1", &["1.2.3.4"], "1.2.3.4");
    check(ours, "1.1.1.1", &["10.0.0.9"], "1.1.1.1");
    check(ours, "192.168.0.8", &["1.2.3.4"], "192.168.0.8");
    check(ours, "1.1.1.1", &["10.0.0.9", "10.0.0.8"], "1.1.1.1");
}

#[test]
fn the_first_is_the_clients_where_all_are_trusted() {
    check(&["10.0.0.0/8"], "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    check(&["0.0.0.0/0"], "10.0.0.1", &["1.2.3.4", "5.6.7.8"], "1.2.3.4");
}

#[test]
fn nothing_before_garbage_is_believed() {
    let ours = &["10.0.0.0/8"];
    for garbage in ["unknown", "", "unix:", "1.2.3", "1.2.3.4.5", "010.0.0.1", "1.2.3.4:x", "[1.2.3.4", "a\u{e4}"] {
        check(ours, "10.0.0.1", &[garbage], "10.0.0.1");
        check(ours, "10.0.0.1", &["6.6.6.6", garbage], "10.0.0.1");
        check(ours, "10.0.0.1", &[&format!("6.6.6.6, {garbage}, 10.0.0.2")], "10.0.0.2");
        check(ours, "10.0.0.1", &[&format!("{garbage}, 1.2.3.4")], "1.2.3.4");
    }
}

#[test]
fn a_port_is_left_out() {
    let ours = &["10.0.0.0/8"];
    check(ours, "10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4");
    check(ours, "10.0.0.1", &["[2001:db8::1]:5678"], "2001:db8::1");
    check(ours, "10.0.0.1", &["[2001:db8::1]"], "2001:db8::1");
    check(ours, "10.0.0.1", &["1.2.3.4, 10.0.0.2:80"], "1.2.3.4");
}

#[test]
fn mapped_addresses_are_ipv4() {
    check(&[], "::ffff:1.2.3.4", &[], "1.2.3.4");
    check(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["::ffff:1.2.3.4"], "1.2.3.4");
    check(&["::ffff:10.0.0.1"], "10.0.0.1", &["1.2.3.4"], "1.2.3.4");
    check(&["::ffff:10.0.0.0/104"], "10.200.0.1", &["1.2.3.4"], "1.2.3.4");
    check(&["::ffff:10.0.0.0/104"], "11.0.0.1", &["1.2.3.4"], "11.0.0.1");
    check(&["::/0"], "::1", &["1.2.3.4"], "1.2.3.4");
}

#[test]
fn what_names_no_proxies_is_told() {
    let trusted = |items: &[&str]| TrustedProxies::parse(items).map_err(|invalid| invalid.to_string());
    assert!(trusted(&["10.0.0.0/8", "::1"]).is_ok());
    for item in ["nginx", "", "10.0.0.0/33", "10.0.0/8", "10.0.0.1:80", " 10.0.0.1", "::1/129", "10.0.0.1/"] {
        let told = format!("{item:?} is neither an IP address nor a network, such as 10.0.0.7, 10.0.0.0/8 or fd00::/8");
        assert_eq!(trusted(&["10.0.0.0/8", item, "worse"]), Err(told));
    }
}

proptest! {
    #[test]
    fn no_header_harms_anybody(
        lines in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b','), Just(b'1'), 32u8..], 0..40), 0..4),
    ) {
        let lines: Vec<_> = lines.iter().filter(|line| HeaderValue::from_bytes(line).is_ok()).collect();
        let all = TrustedProxies::parse(&["0.0.0.0/0"]).unwrap();
        XForwardedFor.client(&all, [10, 0, 0, 1].into(), &headers("x-forwarded-for", &lines));
    }
}
