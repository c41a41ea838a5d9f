//! Where the channels stand in their histories, for `--recover`.

use crate::output;
use fanwire_client::{Event, Position};
use std::collections::BTreeMap;

/// The place of each channel that has a history.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<String, Position>);

impl Places {
    /// The subscription to `channel` began there, if nothing has come of it yet.
    pub(super) fn begin(&mut self, channel: &str, place: Option<Position>) {
        if let Some(place) = place {
            self.0.entry(channel.to_owned()).or_insert(place);
        }
    }

    /// Takes in `event`.
    pub(super) fn follow(&mut self, event: &Event) {
        if let Event::Message { channel, position: Some(place), .. }
        | Event::Lost { channel: Some(channel), position: Some(place) } = event
        {
            self.0.insert(channel.clone(), place.clone());
        }
    }

    /// Tells where each channel stands.
    pub(super) fn tell(&self) {
        for (channel, place) in &self.0 {
            output::tell(&output::printable(&format!("{channel} is at {place}: go on with --since {place}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position::new("a", offset)
    }

    #[test]
    fn places_move_with_messages_and_losses() {
        let mut places = Places::default();
        for channel in ["news", "sport"] {
            places.begin(channel, Some(at(5)));
        }
        places.begin("plain", None);
        let channel = "news".to_owned();
        places.follow(&Event::Message { channel, content: "x".into(), position: Some(at(6)) });
        places.follow(&Event::Lost { channel: Some("sport".to_owned()), position: Some(at(9)) });
        places.begin("news", Some(at(5)));
        places.follow(&Event::Lost { channel: None, position: Some(at(1)) });
        assert_eq!(places.0, BTreeMap::from([("news".to_owned(), at(6)), ("sport".to_owned(), at(9))]));
    }
}
