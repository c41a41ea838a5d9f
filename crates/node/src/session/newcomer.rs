//! A connection that has yet to say who it is.

use super::{Session, Stop, next_received, nothing_to_tell, refusals};
use crate::{auth::Auth, websocket::Received};
use fanwire_hub::Told;
use fanwire_protocol::{CloseReason, Command, Decoded, Event, Request, RequestId, Token};
use tokio::{io::AsyncRead, time::timeout};

/// Such a connection: of all that a session can do it reaches nothing but `auth` and pings.
pub(super) struct Newcomer<'a, R>(&'a mut Session<R>);

/// Whether it has said who it is.
enum Known {
    Yes,
    NotYet,
}

impl<'a, R: AsyncRead + Unpin> Newcomer<'a, R> {
    pub(super) fn new(session: &'a mut Session<R>) -> Self {
        Self(session)
    }

    /// Waits until it has sent a token that grants something, and welcomes it.
    pub(super) async fn wait(mut self, auth: &Auth) -> Result<(), Stop> {
        let known = timeout(auth.timeout, async {
            while let Known::NotYet = self.turn().await? {}
            Ok(())
        });
        known.await.unwrap_or(Err(Stop::Ended(CloseReason::AuthTimeout)))
    }

    async fn turn(&mut self) -> Result<Known, Stop> {
        let received = next_received(&mut self.0.reader, &self.0.shared, self.0.dialect).await.map_err(Stop::Read)?;
        let decoded = match received {
            Received::Close(code) => return Err(Stop::PeerClosed(code)),
            // What arrives behind our own Close frame is read, but not carried out.
            _ if self.0.activity.ended_by().is_some() => return Ok(Known::NotYet),
            Received::Message(decoded) => decoded,
            Received::Ping { .. } if !self.0.is_in_pace() => return Err(Stop::Ended(CloseReason::TooFast)),
            Received::Ping { pong } => {
                self.0.shard().answer(self.0.key, pong).await?;
                return Ok(Known::NotYet);
            }
            Received::Pong => return Ok(Known::NotYet),
        };
        if !self.0.is_in_pace() {
            return Err(Stop::Ended(CloseReason::TooFast));
        }
        for one in decoded {
            if let Known::Yes = self.take(one).await? {
                return Ok(Known::Yes);
            }
        }
        Ok(Known::NotYet)
    }

    async fn take(&mut self, decoded: Decoded) -> Result<Known, Stop> {
        let told = match decoded {
            Decoded::Request(Request { id, command }) => {
                self.0.shared.metrics.commanded(Some(&command));
                match command {
                    Command::Auth { token } => return self.authenticate(id, &token).await,
                    Command::Ping => self.0.tell(&Event::Pong { id }),
                    _ => self.0.refuse(id, refusals::authenticate_first()),
                }
            }
            Decoded::Refused { id, refusal } => {
                self.0.shared.metrics.commanded(None);
                self.0.refuse(id, refusal)
            }
        };
        told.await?;
        Ok(Known::NotYet)
    }

    async fn authenticate(&mut self, id: Option<RequestId>, token: &Token) -> Result<Known, Stop> {
        let vouched = self.0.shared.vouched(token, Some(self.0.key.id())).await;
        match vouched.and_then(|vouched| self.0.set_bearer(vouched)) {
            Ok(()) => {
                self.welcome().await?;
                self.ok(id).await?;
                Ok(Known::Yes)
            }
            Err(refusal) => {
                self.0.refuse(id, refusal).await?;
                Ok(Known::NotYet)
            }
        }
    }

    async fn welcome(&mut self) -> Result<(), Stop> {
        let welcome = self.0.shared.welcome(self.0.key.id());
        self.0.welcomed_at = self.0.shard().welcome(self.0.key, welcome).await?.map(Box::new);
        Ok(())
    }

    fn ok(&self, id: Option<RequestId>) -> Told {
        id.map_or_else(nothing_to_tell, |id| self.0.tell(&Event::Ok { id }))
    }
}
