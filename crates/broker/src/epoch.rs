//! Names of new epochs.

use fanwire_protocol::Epoch;
use rand::distr::{Alphanumeric, SampleString};

/// How many letters and digits a name has: 71 bits, so that no two epochs of a target are ever called alike.
const LENGTH: usize = 12;

/// A name that no epoch has had.
pub(crate) fn random() -> Epoch {
    loop {
        // Letters and digits are always a name.
        if let Ok(epoch) = Epoch::parse(&Alphanumeric.sample_string(&mut rand::rng(), LENGTH)) {
            return epoch;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        assert_ne!(random(), random());
    }
}
