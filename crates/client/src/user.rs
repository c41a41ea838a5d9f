//! The user's side, which outlives connections.

use crate::{
    Closed, Error, Event, Position, Recovery, Welcome,
    broadcasts::Broadcasts,
    call::{Call, Calls, Granted},
    outlet::Outlet,
    replay::Missing,
    subscriptions::Subscriptions,
};
use std::{collections::VecDeque, pin::pin};
use tokio::{sync::mpsc, time::Instant};

/// The fewest calls that are taken before those are forgotten that nobody waits for any more.
const UNTIDIED: usize = 1024;

/// What the user asks, is told, and wants.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) calls: Calls,
    pub(crate) events: Outlet,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) broadcasts: Broadcasts,
    /// Since when the user knows that there is no connection with all that is wanted.
    pub(crate) away_since: Option<Instant>,
}

impl User {
    /// The user who asks by `calls`, is told by `events`, and has all `broadcasts` up to there.
    pub(crate) fn new(calls: mpsc::Receiver<Call>, events: mpsc::Sender<Event>, broadcasts: Option<Position>) -> Self {
        let (calls, events, broadcasts) = (Calls::new(calls), Outlet::new(events), Broadcasts::since(broadcasts));
        Self { calls, events, subscriptions: Subscriptions::default(), broadcasts, away_since: None }
    }

    /// A connection begins, with `broadcasts` at that place; tells what to ask of it.
    pub(crate) fn welcomed(&mut self, broadcasts: Option<Position>) -> VecDeque<Missing> {
        self.broadcasts.welcomed(broadcasts, |event| self.events.tell(event));
        let broadcasts = self.broadcasts.missing_since().map(|_| Missing::Broadcasts);
        let channels = self.subscriptions.channels().cloned().map(Missing::Channel);
        broadcasts.into_iter().chain(channels).collect()
    }

    /// Tells that all that was wanted is in force again on the connection of `welcome`, unless the user knows.
    pub(crate) fn reconnected(&mut self, welcome: &Welcome) {
        if let Some(since) = self.away_since.take() {
            let recovery = Recovery::of(self.subscriptions.outcomes(), self.broadcasts.outcome());
            let (welcome, away) = (welcome.clone(), since.elapsed());
            self.events.tell(Event::Reconnected { welcome, away, recovery });
        }
    }

    /// Tells that `reason` has ended the connection, unless the user waits already.
    pub(crate) fn disconnected(&mut self, reason: &Error) {
        if self.away_since.is_none() {
            self.away_since = Some(Instant::now());
            self.subscriptions.away();
            self.broadcasts.away();
            self.events.tell(Event::Disconnected { reason: reason.clone() });
        }
    }

    /// Serves the user while `work` goes on without a connection. All calls are taken, for any may stand before one
    /// that can be settled now; those kept are bounded by how many the user waits for at a time.
    ///
    /// # Errors
    /// The end that the user asks for.
    pub(crate) async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        let mut room = self.tidy();
        loop {
            let Self { calls, events, .. } = self;
            tokio::select! {
                biased;
                () = events.unwanted(), if calls.handles_gone() => return Err(closed()),
                () = events.room(), if events.is_full() => events.refill(),
                // Before calls, which may come without a pause.
                done = &mut work => return Ok(done),
                call = calls.next_new() => {
                    self.take(call)?;
                    room -= 1;
                    if room == 0 {
                        room = self.tidy();
                    }
                }
            }
        }
    }

    /// Forgets who waits no longer, and tells how many calls to take before the next time: as many as there are left,
    /// so that looking through them costs a call no more when there are many.
    fn tidy(&mut self) -> usize {
        (self.calls.tidy() + self.subscriptions.tidy()).max(UNTIDIED)
    }

    fn take(&mut self, call: Option<Call>) -> Result<(), Error> {
        match call {
            None => {}
            Some(Call::Close) => return Err(closed()),
            Some(Call::Subscribe { channel, since, info, asker }) => {
                self.subscriptions.want(channel.clone(), since, asker);
                self.subscriptions.introduce(&channel, info);
            }
            Some(Call::Unsubscribe { channel, asker }) => {
                self.subscriptions.forget(&channel);
                // Whoever stopped waiting doesn't want the answer.
                let _ = asker.send(Ok(Granted::default()));
            }
            Some(call @ Call::Send(_)) => self.calls.keep(call),
        }
        Ok(())
    }
}

fn closed() -> Error {
    Closed::abrupt("closed by this client while it was not connected").into()
}
