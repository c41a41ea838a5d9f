//! What a session costs: it is there once for each connection.

use crate::session::{Sessions, Upgraded};
use fanwire_hub::transport::TcpReader;
use std::sync::Arc;

/// The length of the future of a session, in bytes.
const BOUND: usize = 792;

fn size_of_output<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_session_is_small() {
    let size = size_of_output(|sessions: Arc<Sessions>, upgraded: Upgraded<TcpReader>| sessions.serve(upgraded));
    assert!(size <= BOUND, "a session has {size} bytes");
}
