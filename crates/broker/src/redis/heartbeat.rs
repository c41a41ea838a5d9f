//! A node's own heartbeat: written over the publishing connection, read on the subscriber link.

use crate::redis::{
    doubt::Doubt, kind::Kind, life::Life, member::Member, names::Name, redirect::Again, reply::server_text,
};
use redis::{Cmd, Value, aio::MultiplexedConnection};
use std::{
    str,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often a heart beats.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long Redis may take to answer. With the interval before, 1.5 s pass at most between two that were written.
const LIMIT: Duration = Duration::from_secs(1);

/// How long the key that shows that a node lives outlasts it.
/// A node that lives never lets it expire: so where it is gone, Redis has lost it, and perhaps more.
const EXPIRY: Duration = Duration::from_secs(30);

/// How manieth beat also asks for evictions.
const LOOK: u64 = 8;

const SCRIPT: &str = include_str!("script/heartbeat.lua");

/// The heartbeats of one link. Those of an earlier link, which may still be on their way, are none of its.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// What all names of this node's heartbeats begin with, and no other name that it is subscribed to.
    beginning: String,
    kind: Kind,
    link: u64,
    start: Instant,
}

impl Heartbeat {
    /// `name` is one of the names of this node's heartbeats, `link` a random number.
    pub(super) fn new(name: &str, kind: Kind, link: u64) -> Self {
        Self { beginning: beginning(name).to_owned(), kind, link, start: Instant::now() }
    }

    /// Beats until Redis does not take it any more, and returns why.
    /// Tells `life` when Redis may have lost keys, and `doubt` when the server hasn't got the key's slot any more.
    pub(super) async fn run(
        self: Arc<Self>,
        member: Arc<Member>,
        (doubt, life): (Arc<Doubt>, Arc<Life>),
        mut connection: MultiplexedConnection,
    ) -> String {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut keys = Keys::default();
        for count in 0_u64.. {
            ticks.tick().await;
            let beat = self.command(&member.heartbeat(), count % LOOK == 0);
            match timeout(LIMIT, connection.send_packed_command(&beat)).await {
                Ok(Ok(Value::ServerError(error))) => match Again::of(&error) {
                    // It gets another name soon; without one, none comes round any more.
                    Some(Again::Elsewhere(redirect)) => doubt.hint(redirect),
                    _ => return format!("Redis refused the heartbeat: {}", server_text(&error)),
                },
                Ok(Ok(reply)) => {
                    if keys.may_be_lost(&reply) {
                        life.may_have_lost();
                    }
                }
                Ok(Err(error)) => return format!("the heartbeat failed: {error}"),
                Err(_) => return format!("Redis did not answer the heartbeat within {LIMIT:?}"),
            }
        }
        "the heart has beaten for the last time".to_owned()
    }

    /// Whether what came on the Redis channel `name` is one.
    pub(super) fn is(&self, name: &[u8]) -> bool {
        name.strip_prefix(self.beginning.as_bytes()).is_some_and(|rest| matches!(rest.first(), Some(b'.' | b'}')))
    }

    /// When the heartbeat was sent that came round as `payload`; none if it is not of this link.
    pub(super) fn sent_at(&self, payload: &[u8]) -> Option<Instant> {
        let (link, micros) = str::from_utf8(payload).ok()?.split_once('-')?;
        if link.parse() != Ok(self.link) {
            return None;
        }
        self.start.checked_add(Duration::from_micros(micros.parse().ok()?))
    }

    /// One beat; whether it `looks` for evictions.
    pub(super) fn command(&self, name: &Name, looks: bool) -> Cmd {
        let payload = self.payload();
        let expiry = u64::try_from(EXPIRY.as_millis()).unwrap_or(u64::MAX);
        let (looks, publish) = (u8::from(looks), self.kind.publish());
        redis::cmd("EVAL").arg(SCRIPT).arg(1).arg(&**name).arg(payload).arg(expiry).arg(looks).arg(publish).take()
    }

    fn payload(&self) -> String {
        format!("{}-{}", self.link, self.start.elapsed().as_micros())
    }
}

/// What the names of a node's heartbeats have in common: all but the variant.
fn beginning(name: &str) -> &str {
    let tag = name.find('{').unwrap_or_default();
    let end = name.get(tag..).and_then(|rest| rest.find(['.', '}']));
    end.and_then(|end| name.get(..tag + end)).unwrap_or(name)
}

/// What the answers to the heartbeats of a link say of Redis' keys.
#[derive(Debug, Default)]
struct Keys {
    /// Whether the node's own was written on this link.
    written: bool,
    /// How many Redis had evicted.
    evicted: Option<i64>,
}

impl Keys {
    /// Whether the answer shows that keys were lost. The first one of a link never does: a link is reason enough.
    fn may_be_lost(&mut self, reply: &Value) -> bool {
        let Value::Array(items) = reply else { return false };
        let [Value::Int(kept), Value::Int(evicted)] = items[..] else { return false };
        let gone = std::mem::replace(&mut self.written, true) && kept == 0;
        let evicted = Some(evicted).filter(|count| *count >= 0);
        let more = evicted.zip(self.evicted).is_some_and(|(now, before)| now != before);
        self.evicted = evicted.or(self.evicted);
        gone || more
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_link_knows_its_own_heartbeats() {
        let heartbeat = Heartbeat::new("p:{node-7}:h", Kind::Plain, 7);
        let sent = heartbeat.sent_at(heartbeat.payload().as_bytes()).unwrap();
        assert!(sent >= heartbeat.start && sent <= Instant::now());
        assert_eq!(Heartbeat::new("p:{node-7}:h", Kind::Plain, 8).sent_at(heartbeat.payload().as_bytes()), None);
    }

    #[test]
    fn names_of_heartbeats_are_told_from_others() {
        let heartbeat = Heartbeat::new("a.b:{node-7.3}:h", Kind::Plain, 7);
        let is = |name: &str| heartbeat.is(name.as_bytes());
        assert!(is("a.b:{node-7}:h") && is("a.b:{node-7.12}:h"));
        for other in ["a.b:{node-71}:h", "a.b:{7}:c:{node-7}:h", "a.b:{all}:b", "", "a.b:{node-7"] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn losses_show_in_the_answers() {
        let answer = |kept, evicted| Value::Array(vec![Value::Int(kept), Value::Int(evicted)]);
        let mut keys = Keys::default();
        for (kept, evicted, lost) in [
            (0, 7, false),
            (1, -1, false),
            (1, 7, false),
            (0, -1, true),
            (1, -1, false),
            (1, 8, true),
            (1, -1, false),
            (1, 8, false),
        ] {
            assert_eq!(keys.may_be_lost(&answer(kept, evicted)), lost, "{kept} {evicted}");
        }
        assert!(!keys.may_be_lost(&Value::Int(1)));
    }

    proptest! {
        #[test]
        fn what_anyone_writes_there_never_panics(payload in prop_oneof!["7-[0-9]{1,25}", "\\PC{0,20}"]) {
            let _ = Heartbeat::new("p:{node-7}:h", Kind::Plain, 7).sent_at(payload.as_bytes());
        }
    }
}
