//! What must not creep up, counted in instructions: callgrind runs each case once and counts what happens in
//! [`measured`]. `tests/instructions` does that, and compares with `counts.toml` beside this.
//!
//! Without a name this lists the cases; with one, it says how often it did what the case is named after.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a case that fails by panicking counts nothing")]
#![expect(clippy::print_stdout, reason = "its list is what it is asked for")]

mod broker;
mod hub;
mod protocol;

use std::hint::black_box;

/// Something that is counted.
struct Case {
    name: &'static str,
    /// Prepares it, does it a number of times in [`measured`], checks that it was done, and returns that number.
    run: fn() -> usize,
}

fn main() {
    let cases = || [protocol::CASES, broker::CASES, hub::CASES].into_iter().flatten();
    match std::env::args().nth(1) {
        None => cases().for_each(|case| println!("{}", case.name)),
        Some(name) => match cases().find(|case| case.name == name) {
            Some(case) => println!("{}", (case.run)()),
            None => panic!("there is no case {name}"),
        },
    }
}

/// What is counted: callgrind looks for the name of this function.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}
