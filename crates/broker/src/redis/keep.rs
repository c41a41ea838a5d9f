//! How a publication is kept.

use crate::{
    REMEMBERED, Retention,
    api::PLACE_KEPT,
    epoch,
    redis::{
        kind::Kind,
        names::{Name, Names},
        reply::{bulk, server_text},
        script::{self, millis},
    },
};
use fanwire_protocol::{Epoch, IdempotencyKey, Position, Target};
use redis::{Cmd, Value};

/// Where a publication is kept, and for how long.
#[derive(Debug)]
pub(super) struct Keep {
    stream: Name,
    place: Name,
    answer: Option<Name>,
    retention: Retention,
    /// What the epoch is called that begins with the publication if one must. A name is used once, since one that
    /// began two epochs would give the same places twice.
    epoch: Epoch,
}

impl Keep {
    pub(super) fn new(names: &Names, target: &Target, retention: Retention, key: Option<&IdempotencyKey>) -> Self {
        Self {
            stream: names.stream(target),
            place: names.place(target),
            answer: key.map(|key| names.answer(target, key)),
            retention,
            epoch: epoch::random(),
        }
    }

    /// The call that publishes an envelope of which `beginning` is given to `channel`. `known`: whether Redis has the
    /// script.
    pub(super) fn command(&self, channel: &Name, beginning: &[u8], kind: Kind, known: bool) -> Cmd {
        let Self { stream, place, answer, retention, epoch } = self;
        let mut command = script::PUBLISH.call(known);
        command.arg(2 + usize::from(answer.is_some())).arg(&**stream).arg(&**place).arg(answer.as_deref());
        command.arg(millis(retention.ttl.saturating_add(PLACE_KEPT))).arg(epoch.as_str());
        command.arg(beginning).arg(&**channel).arg(retention.size.max(1)).arg(millis(retention.ttl));
        command.arg(millis(REMEMBERED)).arg(kind.publish()).take()
    }
}

/// The place that Redis gave to a publication; none if that is not what it answered.
pub(super) fn given(reply: Value) -> Option<Position> {
    let Value::Array(parts) = reply else { return None };
    position(&mut parts.into_iter())
}

/// The place of which the parts are next.
pub(super) fn position(parts: &mut impl Iterator<Item = Value>) -> Option<Position> {
    let epoch = String::from_utf8(bulk(parts.next()?)?).ok()?;
    let Some(Value::Int(offset)) = parts.next() else { return None };
    Some(Position { epoch: Epoch::parse(&epoch).ok()?, offset: offset.try_into().ok()? })
}

/// What clients are told of what Redis refused.
pub(super) fn refusal(error: &redis::ServerError) -> String {
    format!("Redis refused it: {}", server_text(error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_place_is_a_place() {
        let text = |text: &str| Value::BulkString(text.into());
        let place = given(Value::Array(vec![text("a1"), Value::Int(7)])).unwrap();
        assert_eq!(place.to_string(), "a1.7");
        for other in [
            Value::Nil,
            Value::Int(7),
            Value::Array(vec![]),
            Value::Array(vec![text("a1")]),
            Value::Array(vec![text("a 1"), Value::Int(7)]),
            Value::Array(vec![text("a1"), Value::Int(-7)]),
            Value::Array(vec![text("a1"), text("7")]),
        ] {
            assert_eq!(given(other), None);
        }
    }
}
