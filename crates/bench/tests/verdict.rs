//! The load generator notices what a server does wrong, and finds nothing wrong with one that does all right.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use clap::Parser;
use fanwire_bench::{Scenario, run};
use serde_json::{Value, json};
use support::{Fault, serve};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

/// The verdict and the report of a run of `arguments` against a server with `fault`.
fn measure(fault: Fault, arguments: &str) -> (bool, Value) {
    let url = format!("ws://{}/", serve(fault));
    let fixed = ["x", "--url", &url, "--json", "--patience", "1"];
    let (scenario, rest) = arguments.split_once(' ').unwrap();
    let line = [&["x", scenario], &fixed[1..], &rest.split(' ').collect::<Vec<_>>()].concat();
    let mut out = Vec::new();
    let clean = run(Cli::try_parse_from(line).unwrap().scenario, &mut out).unwrap();
    (clean, serde_json::from_slice(&out).unwrap())
}

#[track_caller]
fn check(fault: Fault, key: &str, expected: &Value) {
    let (clean, report) = measure(fault, "fanout --subscribers 5 --rate 40 --seconds 1 --warmup 0");
    let integrity = &report["rounds"][0]["integrity"];
    assert_eq!(integrity["published"], 40, "{report}");
    assert_eq!(&integrity[key], expected, "{report}");
    assert_eq!((clean, &report["clean"]), (fault == Fault::None, &json!(clean)), "{report}");
}

#[test]
fn a_right_server_is_clean() {
    check(Fault::None, "received", &json!(200));
}

#[test]
fn a_lost_message_is_noticed() {
    check(Fault::Lose, "lost", &json!(1));
}

#[test]
fn a_doubled_message_is_noticed() {
    check(Fault::Double, "duplicated", &json!(1));
}

#[test]
fn a_message_out_of_order_is_noticed() {
    check(Fault::Delay, "out_of_order", &json!(1));
}

#[test]
fn a_broken_frame_is_noticed() {
    check(Fault::Break, "ended", &json!({"broken frame: reserved bits are set in first byte 0xc1": 1}));
}

#[test]
fn a_closed_connection_is_noticed() {
    check(Fault::Close, "ended", &json!({"closed with code 1013": 1}));
}

#[test]
fn a_window_paces_the_publisher() {
    let (clean, report) = measure(Fault::None, "fanout --subscribers 5 --saturate --window 1 --seconds 1 --warmup 0");
    assert!(clean && report["rounds"][0]["integrity"]["published"].as_u64() > Some(1), "{report}");
}

#[test]
fn loss_can_be_allowed() {
    let arguments = "fanout --subscribers 5 --rate 40 --seconds 1 --warmup 0 --allow-loss";
    assert!(measure(Fault::Lose, arguments).0);
}

#[test]
fn a_stalled_connection_that_reads_on_sees_all_that_was_sent() {
    let (clean, report) = measure(Fault::None, "stall --subscribers 3 --messages 100 --resume --wait 1");
    assert!(clean, "{report}");
    let expected = json!([{
        "kind": "resumed", "messages": 100, "missing": 0, "disordered": 0, "told_dropped": 0, "errors": [],
        "ended": "still open", "broken": false,
    }]);
    assert_eq!(report["outcomes"], expected);
}

#[test]
fn a_stalled_connection_may_read_on_during_the_round() {
    let arguments = "stall --subscribers 3 --messages 100 --rate 80 --resume --resume-after 1 --wait 1";
    let (clean, report) = measure(Fault::None, arguments);
    assert!(clean, "{report}");
    assert_eq!(report["outcomes"][0]["messages"], 100);
}

const STORM: &str = "storm --clients 20 --staying 2 --rate 200 --before 1 --after 1 --limit 5";

#[test]
fn a_storm_is_weathered_by_a_right_server() {
    let (clean, report) = measure(Fault::None, STORM);
    assert!(clean, "{report}");
    assert_eq!((&report["live"], &report["not_recovered"]), (&json!(20), &json!(0)));
    assert_eq!((&report["returned"]["published"], &report["returned"]["received"]), (&json!(400), &json!(8000)));
    assert_eq!((&report["connect"]["count"], &report["recover"]["count"]), (&json!(20), &json!(20)));
    let delays = ["before", "during", "after"].map(|phase| report["delay"][phase]["count"].as_u64().unwrap());
    assert_eq!(delays.iter().sum::<u64>(), 800, "{report}");
}

#[test]
fn a_storm_notices_what_is_lost() {
    for fault in [Fault::Forget, Fault::LoseMissed] {
        let (clean, report) = measure(fault, STORM);
        assert!(!clean, "{report}");
        assert!(report["not_recovered"].as_u64() > Some(0), "{report}");
        assert!(report["returned"]["lost"].as_u64() > Some(0), "{report}");
        assert_eq!(report["stayed"]["lost"], 0, "{report}");
    }
}

#[test]
fn publications_are_counted_by_their_answers() {
    let (clean, report) = measure(Fault::None, "publish --publishers 2 --window 8 --seconds 1 --rounds 2");
    assert!(clean, "{report}");
    for kind in ["without", "with"] {
        assert!(report[kind]["answered"].as_u64() > Some(0), "{report}");
        assert_eq!(report[kind]["published"], report[kind]["answered"]);
        assert_eq!(report[kind]["rounds"].as_array().unwrap().len(), 2);
    }
}
