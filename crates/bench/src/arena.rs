//! Where a round is played, and who is there.

use crate::{
    Target,
    crew::Job,
    lane::Channels,
    options::Common,
    progress::Progress,
    publisher::Confirm,
    speech::Speech,
    workers::{shares, source},
};

/// Where a round is played: at the server that is measured, or at the floor.
#[derive(Debug, Clone)]
pub struct Arena {
    /// What all scenarios take; its targets and processes are those of the arena.
    pub common: Common,
    /// What is spoken.
    pub speech: Speech,
    /// Where it is told what goes on.
    pub progress: Progress,
}

impl Arena {
    /// The node or nodes that `common` names, in their dialect.
    pub fn of_nodes(common: &Common) -> Self {
        Self { common: common.clone(), speech: Speech::Native(common.dialect), progress: Progress::new() }
    }
}

impl Arena {
    /// How a single connection is opened there.
    pub fn job(&self) -> Job {
        let Common { urls, ca, source, .. } = self.common.clone();
        Job {
            targets: urls,
            ca,
            speech: self.speech.clone(),
            channels: Channels::one(self.common.channel()),
            first: 0,
            count: 1,
            receive_buffer: None,
            source,
            ramp: None,
            least_memory: 0,
        }
    }
}

/// How many subscribers, and what they are sent.
#[derive(Debug, Clone)]
pub struct Seats {
    /// Where they connect to; where the arena is if empty.
    pub targets: Vec<Target>,
    /// Subscribers, at least one.
    pub count: u32,
    /// How many channels they share, each subscribed to one.
    pub channels: u32,
    /// Processes that share them.
    pub processes: u32,
    /// `SO_RCVBUF` of each, in bytes; the system's default if absent.
    pub receive_buffer: Option<u32>,
    /// How many connect a second at most.
    pub ramp: Option<f64>,
    /// No more connect when the machine has less memory than this available, in bytes.
    pub least_memory: u64,
    /// Bytes of content a message.
    pub size: u32,
    /// What confirms a message when a window paces the publisher. Of the subscribers, it is the last.
    pub confirm: Confirm,
    /// Whether messages go to all connections, whatever they are subscribed to, where the server knows such.
    pub to_all: bool,
}

impl Seats {
    /// `count` subscribers of one channel, in this process.
    pub fn of(count: u32, size: u32) -> Self {
        Self {
            targets: Vec::new(),
            count,
            channels: 1,
            processes: 1,
            receive_buffer: None,
            ramp: None,
            least_memory: 0,
            size,
            confirm: Confirm::Subscriber,
            to_all: false,
        }
    }

    /// What each process is to open; the last of them is this one.
    pub fn jobs(&self, arena: &Arena) -> Vec<Job> {
        let common = &arena.common;
        let (shares, mut first) = (shares(self.count, self.processes), 0);
        let processes = u32::try_from(shares.len()).unwrap_or(u32::MAX);
        let targets = if self.targets.is_empty() { &common.urls } else { &self.targets };
        let job = |(index, count)| {
            let job = Job {
                targets: targets.clone(),
                channels: Channels { name: common.channel(), count: self.channels },
                first,
                count,
                receive_buffer: self.receive_buffer,
                source: source(common.source, index, processes),
                ramp: self.ramp.map(|ramp| ramp / f64::from(processes)),
                least_memory: self.least_memory,
                ..arena.job()
            };
            first += count;
            job
        };
        (0..).zip(shares).map(job).collect()
    }
}
