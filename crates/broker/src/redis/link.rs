//! Makes the link to Redis, watches it, and makes it again.

use crate::{
    FeedItem, LinkState,
    redis::{
        Shared,
        access::Access,
        backoff::Backoff,
        connect::{Commands, Connections, Subscriber, connect},
        end::End,
        heartbeat::Heartbeat,
        histories::{self, Histories},
        kind::Kind,
        member::Member,
        outlet::Outlet,
        publisher::{self, Publisher, Work},
        reader::Reader,
        refusal, writer,
    },
};
use redis::aio::MultiplexedConnection;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io, sync::mpsc, task::JoinSet, time::sleep};
use tracing::{debug, error, info, warn};

/// What it takes to make links to a server.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) member: Arc<Member>,
    pub(super) access: Access,
    pub(super) feed: mpsc::Sender<FeedItem>,
}

impl Link {
    /// Keeps the link until nobody takes from the feed any more. All that works for it ends when this is dropped.
    pub(super) async fn keep(self) {
        let mut backoff = Backoff::default();
        loop {
            let (end, lived) = tokio::select! {
                biased;
                () = self.feed.closed() => return,
                ended = self.once() => ended,
            };
            if end == End::FeedClosed {
                return;
            }
            sleep(backoff.after(lived, rand::random())).await;
            self.shared.metrics.reconnects.inc();
        }
    }

    /// One link from its beginning to its end; also how long it could be used.
    async fn once(&self) -> (End, Duration) {
        // Declared first, hence dropped last: the link is down before its tasks are gone.
        let mut tasks = JoinSet::new();
        let mut up = Up::not_yet(&self.shared, &self.member);
        let end = match connect(&self.access, self.shared.node).await {
            Ok(connections) => self.serve(connections, &mut tasks, &mut up).await,
            Err(reason) => End::Lost(reason),
        };
        let lived = up.end(&self.reason(&end));
        self.shared.doubt.raise();
        // Answers everything that is on its way; and the next link's gap must stand behind all that this one read.
        tasks.shutdown().await;
        (end, lived)
    }

    async fn serve(&self, connections: Connections, tasks: &mut JoinSet<End>, up: &mut Up<'_>) -> End {
        let Connections { subscriber, publishing, reading, endpoint, found, asked, kind } = connections;
        let (member, interest) = (&self.member, &self.member.interest);
        let heartbeat = Arc::new(Heartbeat::new(&member.heartbeat(), kind, rand::random()));

        let Subscriber { stream, buffer, replies } = subscriber;
        let (read, write) = io::split(stream);
        let outlet = Outlet::new(self.feed.clone());
        let doubt = || Arc::clone(&self.shared.doubt);
        let (reader, came_round) =
            Reader::new(read, (buffer, replies), outlet, Arc::clone(&heartbeat), Arc::clone(member), doubt());

        interest.link_made(member.id, member.heartbeat());
        let publishing = drive(publishing, tasks, "Redis closed the publishing connection");
        let reading = drive(reading, tasks, "Redis closed the reading connection");
        tasks.spawn(reader.run());
        found.iter().for_each(|_| member.window.named(asked));
        let named = Arc::clone(member);
        tasks.spawn(lost(self.access.clone().moved(found, move |asked| named.window.named(asked))));
        tasks.spawn(lost(writer::run(write, Arc::clone(member), kind)));
        tokio::select! {
            end = first_end(tasks) => return end,
            () = interest.settled(member.id) => {}
        }
        let (doubt, life) = (Arc::clone(&self.shared.doubt), Arc::clone(&self.shared.life));
        tasks.spawn(lost(heartbeat.run(Arc::clone(member), (doubt, life), publishing.clone())));
        tokio::select! {
            end = first_end(tasks) => return end,
            Ok(()) = came_round => {}
        }
        up.begin(tasks, publishing, reading, kind);
        info!(redis = %endpoint, "the link to Redis is up");
        first_end(tasks).await
    }

    /// Says why a link ended, without secrets; logs it once, not at each attempt.
    fn reason(&self, end: &End) -> String {
        let reason = match end {
            End::FeedClosed => "the node is stopping".to_owned(),
            End::Lost(reason) => refusal::explained(&self.access.scrub(reason)),
        };
        if self.member.link_after(&reason) == *self.member.link.borrow() {
            debug!(redis = %self.access, reason, "the link to Redis is still down");
        } else {
            warn!(redis = %self.access, reason, "the link to Redis is down");
        }
        reason
    }
}

/// While it lives the link may be used; however it ends, it is down then.
struct Up<'a> {
    shared: &'a Shared,
    member: &'a Member,
    since: Option<Instant>,
    ended: bool,
}

impl<'a> Up<'a> {
    fn not_yet(shared: &'a Shared, member: &'a Member) -> Self {
        Self { shared, member, since: None, ended: false }
    }

    fn begin(
        &mut self,
        tasks: &mut JoinSet<End>,
        publishing: MultiplexedConnection,
        reading: MultiplexedConnection,
        kind: Kind,
    ) {
        let member = self.member;
        let work =
            Work { jobs: member.gate.open(publisher::QUEUE), withdrawals: member.withdrawals.open(publisher::QUEUE) };
        let publisher = Publisher::new(publishing, kind, Arc::clone(&self.shared.doubt), work);
        tasks.spawn(lost(publisher.run()));
        let histories = Histories::new(reading, kind, member.queries.open(histories::QUEUE));
        tasks.spawn(lost(histories.run()));
        member.interest.accept(member.id);
        // Another server, or this one with less than it had.
        self.shared.life.may_have_lost();
        self.state(LinkState::Up);
        self.since = Some(Instant::now());
    }

    fn end(mut self, reason: &str) -> Duration {
        self.close(reason);
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn close(&mut self, reason: &str) {
        self.ended = true;
        self.state(self.member.link_after(reason));
        self.member.gate.close();
        self.member.withdrawals.close();
        self.member.queries.close();
        self.member.interest.link_lost(self.member.id);
    }

    fn state(&self, state: LinkState) {
        self.member.set_link(state);
        self.shared.route.report();
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.close("the node is stopping");
        }
    }
}

/// Has the work of a connection done, and the link end with it.
fn drive(commands: Commands, tasks: &mut JoinSet<End>, closed: &'static str) -> MultiplexedConnection {
    let Commands { connection, driver } = commands;
    tasks.spawn(lost(async {
        driver.await;
        closed.to_owned()
    }));
    connection
}

async fn lost(task: impl Future<Output = String>) -> End {
    End::Lost(task.await)
}

/// A link is as good as the first of its tasks to end.
async fn first_end(tasks: &mut JoinSet<End>) -> End {
    match tasks.join_next().await {
        Some(Ok(end)) => end,
        Some(Err(failure)) => {
            error!(%failure, "a task of the link to Redis failed");
            End::Lost("internal error".to_owned())
        }
        None => End::Lost("nothing works for the link".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_ends_the_link_like_any_loss() {
        let mut tasks = JoinSet::new();
        tasks.spawn(lost(async { panic!("a bug") }));
        assert_eq!(first_end(&mut tasks).await, End::Lost("internal error".to_owned()));
    }
}
