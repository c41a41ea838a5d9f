//! The least that could do the job: one thread, one epoll, and a ready frame written to one socket after the other.
//!
//! It speaks so much of a native dialect that the same load generator can measure it in the same way as a node.
//! No queue, no task, no second look at a message: what this costs a write, nothing that writes once a delivery can undercut.

mod inbound;
mod server;

use crate::{Error, Target, arena::Arena, helper::Helper, process::Watch, speech::Speech};
use std::time::Duration;
use tokio::time::timeout;

pub use server::serve;

/// How long the process may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that is the floor. It ends with this value.
#[derive(Debug)]
pub struct Floor {
    target: Target,
    pid: u32,
    _helper: Helper,
}

impl Floor {
    /// Starts it, on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self, Error> {
        let mut helper = Helper::start("floor-server", &[])?;
        let failed = |reason: String| Error::Helper { role: "floor-server", reason };
        let line =
            timeout(PATIENCE, helper.hear()).await.map_err(|_| failed(format!("not up within {PATIENCE:?}")))??;
        let target = line.parse().map_err(|_| failed(format!("no address: {line}")))?;
        let pid = helper.pid().ok_or_else(|| failed("it ended".to_owned()))?;
        Watch::new(&[pid])?;
        Ok(Self { target, pid, _helper: helper })
    }

    /// `arena` as it is here.
    pub fn arena(&self, arena: &Arena) -> Arena {
        let mut here = arena.clone();
        here.common.urls = vec![self.target.clone()];
        here.common.pids = vec![self.pid];
        here.speech = Speech::Native(here.common.dialect);
        here
    }
}
