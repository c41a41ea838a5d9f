//! A broker that answers when it is told to, for cases that no real one shows at will.

use fanwire_broker::{
    Accepted, Answered, Broker, Changed, Changes, Counts, DeadNode, Lease, LinkState, Members, Page, PublishError,
    Publishing, Query, ReadError, Removed, Retention, Roll, Shown, SubscribeError,
};
use fanwire_protocol::{ChannelName, Position, Target};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot, watch,
};

/// The outcome of a publication.
pub(crate) type Outcome = Result<Option<Position>, PublishError>;

/// The content, as JSON, whose publication makes the broker panic.
pub(crate) const PANIC: &[u8] = br#""panic""#;

/// What was asked of the broker, and where the answer goes.
#[derive(Debug)]
pub(crate) enum Asked {
    Publish(Publishing, oneshot::Sender<Result<Accepted, PublishError>>),
    Subscribe(ChannelName, oneshot::Sender<Result<(), SubscribeError>>),
    Unsubscribe(ChannelName),
    History(Query, oneshot::Sender<Result<Page, ReadError>>),
    Change(Changes, oneshot::Sender<Result<Changed, ReadError>>),
    ShowLife(oneshot::Sender<Result<Shown, ReadError>>),
    Lease(Lease, oneshot::Sender<Result<bool, ReadError>>),
    Remove(DeadNode, oneshot::Sender<Result<Removed, ReadError>>),
}

/// Tells `outcome`, or with `None` that nobody will tell any more.
pub(crate) fn tell<T: std::fmt::Debug>(told: oneshot::Sender<T>, outcome: Option<T>) {
    outcome.into_iter().zip([told]).for_each(|(outcome, told)| told.send(outcome).unwrap());
}

/// The broker.
#[derive(Debug)]
pub(crate) struct Scripted {
    asked: UnboundedSender<Asked>,
    link: watch::Sender<LinkState>,
}

/// What is asked of a [`Scripted`] broker, in order.
#[derive(Debug)]
pub(crate) struct Calls(UnboundedReceiver<Asked>);

impl Scripted {
    pub(crate) fn new() -> (Arc<Self>, Calls) {
        let (asked, calls) = unbounded_channel();
        (Arc::new(Self { asked, link: watch::Sender::new(LinkState::Up) }), Calls(calls))
    }

    /// Changes the state of the link.
    pub(crate) fn set_link(&self, state: LinkState) {
        self.link.send_replace(state);
    }

    fn question<T: Send + 'static>(
        &self,
        asked: impl FnOnce(oneshot::Sender<Result<T, ReadError>>) -> Asked,
    ) -> Answered<T> {
        let (answer, answered) = oneshot::channel();
        self.asked.send(asked(answer)).unwrap();
        Box::pin(async { answered.await.unwrap_or(Err(ReadError::Timeout)) })
    }
}

impl Broker for Scripted {
    fn publish(&self, publishing: Publishing) -> BoxFuture<'static, Result<Accepted, PublishError>> {
        assert_ne!(publishing.delivery.publication.content.parts().1, PANIC);
        let (answer, place) = oneshot::channel();
        self.asked.send(Asked::Publish(publishing, answer)).unwrap();
        Box::pin(async { place.await.unwrap_or(Err(PublishError::Timeout)) })
    }

    fn subscribe(&self, channel: &ChannelName) -> BoxFuture<'static, Result<(), SubscribeError>> {
        let (answer, confirmed) = oneshot::channel();
        self.asked.send(Asked::Subscribe(channel.clone(), answer)).unwrap();
        Box::pin(async { confirmed.await.unwrap_or(Err(SubscribeError::Timeout)) })
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        self.asked.send(Asked::Unsubscribe(channel.clone())).unwrap();
    }

    fn history(&self, query: Query, _: Retention) -> BoxFuture<'static, Result<Page, ReadError>> {
        let (answer, page) = oneshot::channel();
        self.asked.send(Asked::History(query, answer)).unwrap();
        Box::pin(async { page.await.unwrap_or(Err(ReadError::Timeout)) })
    }

    fn change_members(&self, changes: Changes) -> Answered<Changed> {
        self.question(|answer| Asked::Change(changes, answer))
    }

    fn members(&self, _: Roll) -> Answered<Members> {
        Box::pin(async { Err(ReadError::Timeout) })
    }

    fn count_members(&self, _: &ChannelName) -> Answered<Counts> {
        Box::pin(async { Err(ReadError::Timeout) })
    }

    fn show_life(&self) -> Answered<Shown> {
        self.question(Asked::ShowLife)
    }

    fn lease(&self, lease: Lease) -> Answered<bool> {
        self.question(|answer| Asked::Lease(lease, answer))
    }

    fn remove_members(&self, dead: DeadNode, _: u64) -> Answered<Removed> {
        self.question(|answer| Asked::Remove(dead, answer))
    }

    fn resign(&self) -> Answered<()> {
        Box::pin(async { Ok(()) })
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    fn link_to(&self, _: &Target) -> watch::Receiver<LinkState> {
        self.link()
    }
}

impl Calls {
    /// The next publication: its content as JSON, and where its place in the order is told.
    pub(crate) async fn publish(&mut self) -> (String, oneshot::Sender<Result<Accepted, PublishError>>) {
        let Some(Asked::Publish(publishing, place)) = self.0.recv().await else { panic!("a publication was expected") };
        let content = publishing.delivery.publication.content.parts().1;
        (String::from_utf8(content.to_vec()).unwrap(), place)
    }

    /// Takes in the next publication: its content as JSON, and where its outcome is told.
    pub(crate) async fn take_in(&mut self) -> (String, oneshot::Sender<Outcome>) {
        let (content, place) = self.publish().await;
        let (outcome, accepted) = oneshot::channel();
        place.send(Ok(accepted)).unwrap();
        (content, outcome)
    }

    /// The next subscription: its channel, and where its outcome is told.
    pub(crate) async fn subscribe(&mut self) -> (ChannelName, oneshot::Sender<Result<(), SubscribeError>>) {
        let Some(Asked::Subscribe(channel, outcome)) = self.0.recv().await else {
            panic!("a subscription was expected")
        };
        (channel, outcome)
    }

    /// The next read: what of, and where its outcome is told.
    pub(crate) async fn history(&mut self) -> (Query, oneshot::Sender<Result<Page, ReadError>>) {
        let Some(Asked::History(query, outcome)) = self.0.recv().await else { panic!("a read was expected") };
        (query, outcome)
    }

    /// What is asked next.
    pub(crate) async fn next(&mut self) -> Asked {
        self.0.recv().await.unwrap()
    }

    /// Whether nothing was asked that was not taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
