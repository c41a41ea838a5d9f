//! Which of the messages of a run a subscriber gets.

use serde::{Deserialize, Serialize};

/// One channel of several that are published to in turn: the messages whose number leaves `index` when divided by `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    index: u32,
    of: u32,
}

impl Default for Lane {
    /// The only channel.
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Lane {
    /// Channel `index` of `of`; each that is beyond them shares one with those before.
    pub fn new(index: u32, of: u32) -> Self {
        let of = of.max(1);
        Self { index: index % of, of }
    }

    /// The how manieth of the channel message `sequence` is, from 0; none if it is another's.
    pub fn place(self, sequence: u64) -> Option<u64> {
        let (index, of) = (u64::from(self.index), u64::from(self.of));
        (sequence % of == index).then_some(sequence / of)
    }

    /// How many messages before number `end` are the channel's.
    pub fn before(self, end: u64) -> u64 {
        end.saturating_sub(self.index.into()).div_ceil(self.of.into())
    }
}

/// The channels of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    /// The only channel, or what the names of all begin with.
    pub name: String,
    /// How many there are.
    pub count: u32,
}

impl Channels {
    /// One channel.
    pub fn one(name: String) -> Self {
        Self { name, count: 1 }
    }

    /// The channel of message, or subscriber, `index`.
    pub fn name(&self, index: u64) -> String {
        match self.count {
            0 | 1 => self.name.clone(),
            count => format!("{}.{}", self.name, index % u64::from(count)),
        }
    }

    /// The lane of subscriber `index`.
    pub fn lane(&self, index: u32) -> Lane {
        Lane::new(index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_only_channel_has_every_message_at_its_number() {
        assert_eq!([0, 1, 99].map(|sequence| Lane::default().place(sequence)), [Some(0), Some(1), Some(99)]);
        assert_eq!(Lane::default().before(7), 7);
    }

    proptest! {
        #[test]
        fn lanes_number_their_messages_without_gaps(of in 1u32..9, end in 0u64..200) {
            let mut total = 0;
            for index in 0..of {
                let lane = Lane::new(index, of);
                let places: Vec<_> = (0..end).filter_map(|sequence| lane.place(sequence)).collect();
                prop_assert_eq!(&places, &(0..lane.before(end)).collect::<Vec<_>>());
                total += lane.before(end);
            }
            prop_assert_eq!(total, end);
        }
    }

    #[test]
    fn names_and_lanes_go_together() {
        let channels = Channels { name: "a".to_owned(), count: 3 };
        assert_eq!((channels.name(4), channels.lane(4)), ("a.1".to_owned(), Lane::new(1, 3)));
        assert_eq!(Channels::one("a".to_owned()).name(4), "a");
    }
}
