//! Histories as clients see them.

use super::{Frame, to, to_all};
use fanwire_protocol::{Delivery, Epoch, Position, Publication};
use std::sync::Arc;

/// A place: the number of an epoch, and the offset.
pub(crate) type Place = (u64, u64);

/// What a client of a target with a history is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// A publication.
    Message(Place),
    /// The notice that it goes on behind a place.
    Lost(Place),
}

impl Placed {
    /// The place behind it.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Message(place) | Self::Lost(place) => place,
        }
    }
}

/// The place as the hub knows it.
pub(crate) fn position((epoch, offset): Place) -> Position {
    Position { epoch: Epoch::parse(&format!("e{epoch}")).unwrap(), offset }
}

/// The same place as a pair.
pub(crate) fn place(position: &Position) -> Place {
    (position.epoch.as_str()[1..].parse().unwrap(), position.offset)
}

/// Whether who is at `place` has what stands at `other`.
pub(crate) fn has(place: Place, other: Place) -> bool {
    place.0 == other.0 && place.1 >= other.1
}

/// The publication at `place` in a channel, or of all where its name is empty.
pub(crate) fn placed(name: &str, place: Place) -> Delivery {
    let content = place.0 * 1_000_000 + place.1;
    let plain = if name.is_empty() { to_all(content) } else { to(name, content) };
    let Publication { target, content, .. } = Arc::into_inner(plain.publication).unwrap();
    Delivery { publication: Arc::new(Publication::new(target, content).at(position(place))), ..plain }
}

/// What a JSON client is sent of a channel, or of the broadcasts where its name is empty.
pub(crate) fn placed_of(frame: &Frame, name: &str) -> Option<Placed> {
    let Frame::Text(text) = frame else { return None };
    let start = |kind: &str| match name {
        "" => format!(r#"{{"type":"{}","#, if kind == "message" { "broadcast" } else { kind }),
        name => format!(r#"{{"type":"{kind}","channel":"{name}","#),
    };
    if let Some(rest) = text.strip_prefix(&start("lost")) {
        let (epoch, offset) = rest.strip_prefix(r#""epoch":"e"#)?.split_once(r#"","offset":"#)?;
        return Some(Placed::Lost((epoch.parse().ok()?, offset.strip_suffix('}')?.parse().ok()?)));
    }
    let (offset, content) = text.strip_prefix(&start("message"))?.strip_prefix(r#""offset":"#)?.split_once(',')?;
    let content: u64 = content.strip_prefix(r#""content":"#)?.strip_suffix('}')?.parse().ok()?;
    assert_eq!(content % 1_000_000, offset.parse::<u64>().unwrap(), "{text}");
    Some(Placed::Message((content / 1_000_000, content % 1_000_000)))
}
