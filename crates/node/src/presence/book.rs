//! What is wanted of this node's members, and what the broker is known to have.
//!
//! Nothing here asks or waits: the keeper carries out what is decided. One batch of a channel is under way at a time, so
//! that what is done about a member is done in order; meanwhile wishes gather, and those that cancel out are never asked.

mod record;

use fanwire_broker::{Change, MAX_CHANGES};
use fanwire_protocol::{ChannelName, ConnectionId, Member};
pub(super) use record::Answer;
use record::{Known, Record};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::oneshot;

/// How many members that went last are remembered. A server that takes over may have lost that they did.
const GONE: usize = 4_096;

/// All channels on which this node has members, or of which the broker is yet to forget some.
#[derive(Debug, Default)]
pub(super) struct Book {
    channels: HashMap<ChannelName, Channel>,
    /// Channels of which a batch may begin.
    queue: VecDeque<ChannelName>,
    gone: VecDeque<(ChannelName, ConnectionId)>,
}

#[derive(Debug, Default)]
struct Channel {
    records: HashMap<ConnectionId, Record>,
    /// Those that are not as they should be, in the order in which they came to be so.
    due: VecDeque<ConnectionId>,
    /// Whether the channel is in the queue.
    queued: bool,
    /// Whether a batch of it is under way.
    busy: bool,
}

/// A batch of changes of one channel.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) channel: ChannelName,
    pub(super) changes: Vec<Change>,
    /// Whom they are about, and whether these are wanted.
    about: Vec<(ConnectionId, bool)>,
}

impl Book {
    /// A connection is on a channel now; `entered` is told when the broker has it.
    pub(super) fn enter(&mut self, channel: &ChannelName, member: Arc<Member>, entered: oneshot::Sender<()>) {
        let of = self.channels.entry(channel.clone()).or_default();
        of.enter(member, entered);
        self.call(channel);
    }

    /// A lease of a connection is asked for. Whoever asks owes an [`Self::answered`].
    pub(super) fn ask(&mut self, channel: &ChannelName, member: Arc<Member>) {
        self.channels.entry(channel.clone()).or_default().ask(member);
    }

    /// What became of that.
    pub(super) fn answered(&mut self, channel: &ChannelName, connection: ConnectionId, answer: Answer) {
        if let Some(of) = self.channels.get_mut(channel) {
            of.answered(connection, answer);
            self.call(channel);
            self.retire(channel);
        }
    }

    /// It isn't any more.
    pub(super) fn leave(&mut self, channel: &ChannelName, connection: ConnectionId) {
        if let Some(of) = self.channels.get_mut(channel) {
            of.leave(connection);
            self.call(channel);
        }
    }

    /// Whether nobody is anywhere, and the broker knows.
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// The next batch, if there is anything to do. Whoever takes it owes a [`Self::done`].
    pub(super) fn take(&mut self) -> Option<Batch> {
        while let Some(channel) = self.queue.pop_front() {
            let Some(of) = self.channels.get_mut(&channel) else { continue };
            of.queued = false;
            let (changes, about) = of.take();
            if !changes.is_empty() {
                of.busy = true;
                return Some(Batch { channel, changes, about });
            }
            self.retire(&channel);
        }
        None
    }

    /// A batch was carried out, or perhaps not all of it.
    pub(super) fn done(&mut self, batch: Batch, succeeded: bool) {
        let Batch { channel, about, .. } = batch;
        let Some(of) = self.channels.get_mut(&channel) else { return };
        of.busy = false;
        for (connection, wanted) in about {
            if of.settle(connection, wanted, succeeded) {
                self.gone.push_back((channel.clone(), connection));
            }
        }
        while self.gone.len() > GONE {
            self.gone.pop_front();
        }
        self.call(&channel);
        self.retire(&channel);
    }

    /// The broker may have lost members, and that others went.
    pub(super) fn lost(&mut self) {
        for (channel, connection) in std::mem::take(&mut self.gone) {
            self.channels.entry(channel).or_default().doubt(connection);
        }
        self.each(|known| if known == Known::There { Known::Lost } else { known });
    }

    /// Others have removed all members of this node, and told that they went.
    pub(super) fn removed(&mut self) {
        self.each(|known| if matches!(known, Known::There | Known::Lost) { Known::Maybe } else { known });
    }

    /// Changes what is known of each.
    fn each(&mut self, change: impl Fn(Known) -> Known) {
        let channels: Vec<_> = self.channels.keys().cloned().collect();
        for channel in channels {
            if let Some(of) = self.channels.get_mut(&channel) {
                of.each(&change);
                self.call(&channel);
            }
        }
    }

    /// Puts a channel into the queue if there is something to do about it.
    fn call(&mut self, channel: &ChannelName) {
        if let Some(of) = self.channels.get_mut(channel)
            && !of.busy
            && !of.due.is_empty()
            && !std::mem::replace(&mut of.queued, true)
        {
            self.queue.push_back(channel.clone());
        }
    }

    fn retire(&mut self, channel: &ChannelName) {
        if self.channels.get(channel).is_some_and(|of| of.records.is_empty() && !of.busy && !of.queued) {
            self.channels.remove(channel);
        }
    }
}

impl Channel {
    fn enter(&mut self, member: Arc<Member>, entered: oneshot::Sender<()>) {
        let connection = member.connection;
        let record = self.records.entry(connection).or_insert_with(|| Record::new(Arc::clone(&member)));
        if record.known == Known::There && record.member != member {
            // Entering again replaces what is there in silence, and tells the join if others have removed it meanwhile.
            record.known = Known::Maybe;
        }
        if self.busy {
            // What is under way may be of how it was.
            record.meanwhile = record.meanwhile.or((record.member != member).then_some(Known::Maybe));
        }
        (record.member, record.wanted, record.entered) = (member, true, Some(entered));
        self.mark(connection);
    }

    fn ask(&mut self, member: Arc<Member>) {
        let connection = member.connection;
        let record = self.records.entry(connection).or_insert_with(|| Record::new(member));
        // As if it were granted, so that what befalls all members befalls it.
        record.known = if record.wanted || record.known != Known::Nothing { Known::Maybe } else { Known::There };
        (record.wanted, record.asked) = (true, true);
    }

    fn answered(&mut self, connection: ConnectionId, answer: Answer) {
        let Some(record) = self.records.get_mut(&connection) else { return };
        record.asked = false;
        match answer {
            Answer::Granted if record.known == Known::There => return,
            Answer::Granted => {}
            Answer::Full => {
                self.records.remove(&connection);
                return;
            }
            Answer::Kept => record.known = Known::Maybe,
            Answer::GivenUp => (record.known, record.wanted) = (Known::Maybe, false),
        }
        self.mark(connection);
    }

    fn leave(&mut self, connection: ConnectionId) {
        if let Some(record) = self.records.get_mut(&connection) {
            (record.wanted, record.entered) = (false, None);
            self.mark(connection);
        }
    }

    /// A member that went may be there again.
    fn doubt(&mut self, connection: ConnectionId) {
        let member = Member { connection, user: None, info: None };
        let record = self.records.entry(connection).or_insert_with(|| Record::new(Arc::new(member)));
        if record.known == Known::Nothing {
            record.known = Known::Gone;
            self.mark(connection);
        }
    }

    fn mark(&mut self, connection: ConnectionId) {
        if let Some(record) = self.records.get_mut(&connection)
            && !record.asked
            && !std::mem::replace(&mut record.due, true)
        {
            self.due.push_back(connection);
        }
    }

    fn each(&mut self, change: impl Fn(Known) -> Known) {
        let mut changed = Vec::new();
        for (connection, record) in &mut self.records {
            let known = change(record.known);
            if self.busy {
                // Whatever is under way ends with a member that is there, unless it fails.
                record.meanwhile = Some(change(record.meanwhile.unwrap_or(Known::There)));
            }
            if std::mem::replace(&mut record.known, known) != known {
                changed.push(*connection);
            }
        }
        changed.into_iter().for_each(|connection| self.mark(connection));
    }

    /// Changes for a batch, and whom they are about.
    fn take(&mut self) -> (Vec<Change>, Vec<(ConnectionId, bool)>) {
        let (mut changes, mut about) = (Vec::new(), Vec::new());
        // One of them may take two.
        while changes.len() + 1 < MAX_CHANGES
            && let Some(connection) = self.due.pop_front()
        {
            let Some(record) = self.records.get_mut(&connection) else { continue };
            record.due = false;
            if record.asked {
                continue;
            }
            record.meanwhile = None;
            let before = changes.len();
            changes.extend(record.changes());
            if changes.len() > before {
                about.push((connection, record.wanted));
            } else {
                record.told();
                if !record.wanted {
                    self.records.remove(&connection);
                }
            }
        }
        (changes, about)
    }

    /// Takes in what became of a member that was `wanted`, or not, when the batch began. Whether it has gone.
    fn settle(&mut self, connection: ConnectionId, wanted: bool, succeeded: bool) -> bool {
        let Some(record) = self.records.get_mut(&connection) else { return false };
        let meanwhile = record.meanwhile.take();
        record.known = match (succeeded, wanted) {
            (true, true) => meanwhile.unwrap_or(Known::There),
            (true, false) => Known::Nothing,
            (false, _) => record.known.in_doubt(wanted),
        };
        let gone = succeeded && !wanted;
        if record.is_right() {
            record.told();
            if !record.wanted {
                self.records.remove(&connection);
            }
        } else {
            self.mark(connection);
        }
        gone
    }
}

#[cfg(test)]
mod tests;
