//! Commands about what was published before.

use super::{About, Session, Step, broadcasts::Recovering, cursor::PAGE, nothing_to_tell, refusals};
use crate::metrics::Recovery;
use bytes::Bytes;
use fanwire_auth::Right;
use fanwire_broker::{Page, Query, ReadError, Retention};
use fanwire_hub::Told;
use fanwire_protocol::{ChannelName, Event, Position, Refusal, RequestId, Target};
use std::sync::Arc;
use tokio::io::AsyncRead;

/// Which part of a history a client asked for.
pub(super) struct Asked {
    pub(super) channel: ChannelName,
    pub(super) since: Option<Position>,
    pub(super) limit: u32,
    pub(super) reverse: bool,
}

/// A client that wants the broadcasts behind a place.
pub(super) struct Behind {
    id: Option<RequestId>,
    place: Position,
    read: Result<Arc<Page>, ReadError>,
}

impl<R: AsyncRead + Unpin> Session<R> {
    pub(super) fn history(&mut self, id: Option<RequestId>, asked: Asked) -> Told {
        let retention = match self.retention(&asked.channel) {
            Ok(retention) => retention,
            Err(refusal) => return self.refuse(id, refusal),
        };
        // Nobody would see the answer.
        let Some(id) = id else { return nothing_to_tell() };
        let Asked { channel, since, limit, reverse } = asked;
        let query = Query { target: Target::Channel(channel), since, limit, reverse };
        // Not shared: whoever has published before must find it.
        let read = self.shared.broker.history(query, retention);
        self.step = Some(Box::pin(async move { Step::Read(id, Box::new(read.await)) }));
        nothing_to_tell()
    }

    fn retention(&self, channel: &ChannelName) -> Result<Retention, Refusal> {
        self.may(Right::History, channel)?;
        let history = self.namespace(channel)?.history;
        history.ok_or_else(|| refusals::no_history(&Target::Channel(channel.clone())))
    }

    pub(super) fn answer_history(&mut self, id: RequestId, read: Result<Page, ReadError>) -> Told {
        let page = match read {
            Ok(page) => page,
            Err(error) => return self.refuse(Some(id), refusals::read(&error)),
        };
        let publications = page.publications.into_iter().map(|delivery| delivery.publication).collect();
        self.answer_long(Event::History { id, position: page.newest, publications })
    }

    /// Sends an answer that may be long, as the client takes it.
    pub(super) fn answer_long(&mut self, answer: Event) -> Told {
        let answer = self.fitting_answer(answer);
        self.begin(About::Answer, |peer| async move {
            let _turn = peer.turn().await;
            peer.page(answer.into_iter().collect()).await
        });
        nothing_to_tell()
    }

    /// The answer with as many of its publications or members as fit half an outbox, but at least one.
    fn fitting_answer(&self, mut answer: Event) -> Option<Bytes> {
        let bound = self.shared.outbox_limit / 2;
        loop {
            let frame = self.encode(&answer)?;
            match &mut answer {
                Event::History { publications, .. } if frame.len() > bound && publications.len() > 1 => {
                    let fitting = publications.len() * bound / frame.len();
                    publications.truncate(fitting.max(1));
                }
                Event::Members { members, more, .. } if frame.len() > bound && members.len() > 1 => {
                    let fitting = members.len() * bound / frame.len();
                    members.truncate(fitting.max(1));
                    *more = true;
                }
                _ => return Some(frame),
            }
        }
    }

    pub(super) fn recover_broadcast(&mut self, id: Option<RequestId>, place: Position) -> Told {
        let Some(retention) = self.shared.namespaces.broadcast else {
            return self.refuse(id, refusals::no_history(&Target::Broadcast));
        };
        if self.beside.as_ref().is_some_and(|beside| beside.count(&About::Broadcasts) > 0) {
            return self.refuse(id, refusals::already_recovering());
        }
        let query = Query { target: Target::Broadcast, since: Some(place.clone()), limit: PAGE, reverse: false };
        let read = self.shared.reads.read(query, retention);
        self.step = Some(Box::pin(async move { Step::Behind(Box::new(Behind { id, place, read: read.await })) }));
        nothing_to_tell()
    }

    pub(super) fn begin_recovery(&mut self, behind: Behind) -> Told {
        let Behind { id, place, read } = behind;
        let (page, retention) = match (read, self.shared.namespaces.broadcast) {
            (Ok(page), Some(retention)) => (page, retention),
            (Err(error), _) => {
                self.shared.metrics.recovered(Recovery::Failed);
                return self.refuse(id, refusals::read(&error));
            }
            (Ok(_), None) => return nothing_to_tell(),
        };
        let recovering = Recovering { id, place, welcomed_at: self.welcomed_at.as_deref().cloned(), page, retention };
        self.begin(About::Broadcasts, |peer| recovering.run(peer));
        nothing_to_tell()
    }
}
