//! The subscribers that one process has.

use crate::{
    Error, Target,
    board::Board,
    confirm::Confirmations,
    crowd::{Crowd, make_room},
    integrity::Integrity,
    lane::Channels,
    pace::Clock,
    speech::Speech,
    subscriber::{Account, Seat, SharedAccount},
    websocket::Options,
};
use fanwire_tls::ClientFiles;
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, path::PathBuf, rc::Rc, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ClientConfig;

/// Which subscribers a process is to have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Nodes, taken in turn.
    pub targets: Vec<Target>,
    /// Authorities that are trusted where there is TLS; the system's if absent.
    pub ca: Option<PathBuf>,
    /// What is spoken.
    pub speech: Speech,
    /// What they subscribe to, each to one.
    pub channels: Channels,
    /// The number of the first of them among all of the run.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// `SO_RCVBUF` of each, in bytes; the system's default if absent.
    pub receive_buffer: Option<u32>,
    /// Where they connect from; the system's choice if absent.
    pub source: Option<IpAddr>,
    /// How many are opened a second at most.
    pub ramp: Option<f64>,
    /// No more are opened when the machine has less memory than this available, in bytes.
    pub least_memory: u64,
}

impl Job {
    /// How each connects.
    pub fn options(&self) -> Options {
        let (receive_buffer, source) = (self.receive_buffer, self.source);
        Options { speech: Arc::new(self.speech.clone()), receive_buffer, source }
    }

    /// What connections with TLS are made with; absent where none has any.
    pub fn tls(&self) -> Result<Option<Arc<ClientConfig>>, Error> {
        if !self.targets.iter().any(|target| target.secure) {
            return Ok(None);
        }
        let files = ClientFiles { ca: self.ca.clone(), ..ClientFiles::default() };
        Ok(Some(Arc::clone(files.load()?.config())))
    }
}

/// What a crew saw in one round.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Whether all arrived.
    pub integrity: Integrity,
    /// The delays after the warm-up, in nanoseconds, and how often each was.
    pub delays: Vec<(u64, u64)>,
    /// When the last message arrived, by [`Clock`].
    pub last: u64,
}

/// Subscribers that are being read.
#[derive(Debug)]
pub struct Crew {
    /// What they write down together.
    pub board: Rc<Board>,
    accounts: Vec<SharedAccount>,
    first: u64,
    /// Aborted with the crew.
    _readers: JoinSet<()>,
}

impl Crew {
    /// Opens what `job` says and lets `read` read each; the last one has `confirmations` to tell what it got. `each` is
    /// told how many are open.
    pub async fn open<R>(
        job: &Job,
        read: impl Fn(Seat) -> R,
        confirmations: Option<&Arc<Confirmations>>,
        each: impl Fn(usize),
    ) -> Result<Self, Error>
    where
        R: Future<Output = ()> + 'static,
    {
        make_room(job.count as usize)?;
        let board = Rc::new(Board::new(Clock::start()));
        let (options, tls) = (job.options(), job.tls()?);
        let sockets = job.crowd(&options, tls.as_ref()).open(&board.scratch, each).await?;
        let (mut accounts, mut readers, count) = (Vec::with_capacity(sockets.len()), JoinSet::new(), sockets.len());
        for (index, socket) in sockets.into_iter().enumerate() {
            let account = Account::shared(job.channels.lane(job.first + u32::try_from(index).unwrap_or(u32::MAX)));
            accounts.push(account.clone());
            readers.spawn_local(read(Seat {
                index,
                socket,
                speech: Arc::clone(&options.speech),
                account,
                board: board.clone(),
                confirmations: confirmations.filter(|_| index + 1 == count).cloned(),
            }));
        }
        Ok(Self { board, accounts, first: 0, _readers: readers })
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Forgets what was, and measures the messages from number `first` on, their delays from `nanos` on.
    pub fn restart(&mut self, nanos: u64, first: u64) {
        self.first = first;
        self.board.restart(nanos);
        self.accounts.iter().for_each(|account| account.borrow_mut().restart(first));
    }

    /// Waits for all messages before number `end`, or until none has come for `patience`.
    pub async fn settle(&self, end: u64, patience: Duration) -> Tally {
        let own = |account: &SharedAccount| {
            let lane = account.borrow().lane;
            lane.before(end) - lane.before(self.first)
        };
        self.board.arrivals.wait_for(self.accounts.iter().map(own).sum(), patience).await;
        let (latency, last) = self.board.take();
        Tally { integrity: Integrity::between(&self.accounts, self.first, end), delays: latency.counts(), last }
    }
}

impl Job {
    /// The connections that are to be opened, with what `Job::options` and `Job::tls` gave.
    pub fn crowd<'a>(&'a self, options: &'a Options, tls: Option<&'a Arc<ClientConfig>>) -> Crowd<'a> {
        Crowd {
            targets: &self.targets,
            tls,
            options,
            channels: &self.channels,
            first: self.first,
            count: self.count as usize,
            ramp: self.ramp,
            least_memory: self.least_memory,
        }
    }
}
