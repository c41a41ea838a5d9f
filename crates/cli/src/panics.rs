//! Panics, each of which is a bug: counted and told, wherever in the process they happen.
//!
//! What a panic says is not told, for it may quote what a client sent. Where it was is enough to find the bug.

use prometheus::{IntCounter, Registry};
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    thread,
};

/// Counts every panic of this process from now on, and tells it in the log.
///
/// # Errors
/// When `registry` has such a metric already.
pub(crate) fn watch(registry: &Registry) -> Result<(), prometheus::Error> {
    let help =
        "Panics, which are bugs. Each ended what it happened in: a connection, a request, or the link to the broker.";
    let panics = IntCounter::new("fanwire_panics_total", help)?;
    registry.register(Box::new(panics.clone()))?;
    panic::set_hook(Box::new(move |panic| note(panic, &panics)));
    Ok(())
}

fn note(panic: &PanicHookInfo<'_>, panics: &IntCounter) {
    panics.inc();
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let thread = thread::current();
    let thread = thread.name().unwrap_or_default();
    tracing::error!(thread, "panicked at {place}, which is a bug in Fanwire: please report it");
    // With RUST_BACKTRACE alone: it takes a while.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(%backtrace, "the way to that place");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_wherever_it_happens() {
        let registry = Registry::new();
        let before = panic::take_hook();
        watch(&registry).unwrap();
        let caught = thread::spawn(|| panic::panic_any("what a client sent")).join();
        panic::set_hook(before);
        assert!(caught.is_err());
        let family = registry.gather().remove(0);
        assert_eq!(family.name(), "fanwire_panics_total");
        // Another test may have failed meanwhile, which counts too.
        assert!(family.get_metric()[0].get_counter().get_value() >= 1.0);
        assert!(watch(&registry).is_err());
    }
}
