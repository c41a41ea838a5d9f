//! Where all connections of a thread read into: one buffer, since only one of them reads at a time.

use std::cell::Cell;

/// How much is read at once, in bytes.
const SIZE: usize = 16 << 10;

thread_local! {
    static SPACE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Lends this thread's buffer, with whatever is in it, to `work`.
pub(super) fn with<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    // Taken out meanwhile: a thread on which `work` panics, or lends it again, gets another.
    let mut space = SPACE.take().unwrap_or_else(|| vec![0; SIZE].into());
    let done = work(&mut space);
    SPACE.set(Some(space));
    done
}
