//! Where the channels stand in their histories, for `--recover`.

use super::objects;
use crate::{failure::Failure, output};
use fanwire_client::{Client, Error, Event, HistoryQuery, Position};
use std::collections::BTreeMap;

/// The place of each channel that has a history.
#[derive(Debug, Default)]
pub(super) struct Places {
    now: BTreeMap<String, Position>,
    /// Where they stood when the connection was lost, but for those that were lost, too.
    before: BTreeMap<String, Position>,
}

/// How many messages of a channel a new connection brings back.
#[derive(Debug)]
pub(super) struct Recovering {
    channel: String,
    place: Position,
    messages: u64,
}

impl Places {
    /// The subscription to `channel` begins there.
    pub(super) fn begin(&mut self, channel: &str, place: Option<Position>) {
        if let Some(place) = place {
            self.now.insert(channel.to_owned(), place);
        }
    }

    /// Takes in `event`, and tells which channels go on from which places.
    pub(super) fn follow(&mut self, event: &Event) -> BTreeMap<String, Position> {
        match event {
            Event::Message { channel, position: Some(place), .. } => {
                self.now.insert(channel.clone(), place.clone());
            }
            Event::Lost { channel: Some(channel), position } => {
                self.before.remove(channel);
                self.begin(channel, position.clone());
            }
            Event::Disconnected { .. } => self.before = self.now.clone(),
            Event::Reconnected { .. } => return std::mem::take(&mut self.before),
            _ => {}
        }
        BTreeMap::new()
    }

    /// Tells where each channel stands.
    pub(super) fn tell(&self) {
        for (channel, place) in &self.now {
            output::tell(&output::printable(&format!("{channel} is at {place}: go on with --since {place}")));
        }
    }
}

/// Asks how much of `channel` has been published since `place`; nothing if that can't be known.
pub(super) async fn recovering(client: &Client, channel: String, place: Position) -> Result<Option<Recovering>, Error> {
    let query = HistoryQuery { limit: Some(1), reverse: true, since: None };
    let newest = client.history(&channel, query).await?.newest;
    let same = newest.epoch() == place.epoch();
    let messages = newest.offset().saturating_sub(place.offset());
    Ok(same.then_some(Recovering { channel, place, messages }))
}

impl Recovering {
    /// Prints it.
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        let Self { channel, place, messages } = self;
        if json {
            return Ok(output::result(&objects::recovering(channel, *messages, place)?)?);
        }
        output::tell(&output::printable(&format!("recovering {messages} messages of {channel} behind {place}")));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fanwire_client::Closed;

    fn at(offset: u64) -> Position {
        Position::new("a", offset)
    }

    fn message(channel: &str, offset: u64) -> Event {
        Event::Message { channel: channel.to_owned(), content: "x".into(), position: Some(at(offset)) }
    }

    #[test]
    fn channels_that_are_lost_are_not_recovered() {
        let mut places = Places::default();
        for channel in ["news", "sport"] {
            places.begin(channel, Some(at(5)));
        }
        places.begin("plain", None);
        places.follow(&message("news", 6));
        let reason = Closed { code: None, reason: String::new() }.into();
        places.follow(&Event::Disconnected { reason });
        // Comes before the subscriptions are all in force.
        places.follow(&message("news", 7));
        places.follow(&Event::Lost { channel: Some("sport".to_owned()), position: Some(at(9)) });
        assert_eq!(places.before, BTreeMap::from([("news".to_owned(), at(6))]));
        assert_eq!(places.now, BTreeMap::from([("news".to_owned(), at(7)), ("sport".to_owned(), at(9))]));
    }
}
