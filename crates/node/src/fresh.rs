//! Files that are read again while the node runs: certificates, and keys.

use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};

/// How often files are looked at. What has changed is read when it was the same twice in a row, for a certificate and
/// its key are rarely replaced in one step.
const PAUSE: Duration = Duration::from_secs(2);

/// What is made of some files, and can be made of them again.
pub(crate) trait Fresh: Send + Sync {
    /// The files.
    fn paths(&self) -> Vec<&Path>;

    /// Reads them again. Where they can't be used, what was read before stays in use. Blocks.
    fn reload(&self);
}

/// Makes a node read its files again. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reloading(Arc<Notify>);

impl Reloading {
    /// Reads certificates and keys again, whether their files have changed or not. Where they can't be used, those before
    /// them stay in use.
    pub fn reload(&self) {
        self.0.notify_one();
    }
}

/// How reading files again ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    Loaded,
    Refused,
}

impl Reload {
    pub(crate) const ALL: [Self; 2] = [Self::Loaded, Self::Refused];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Refused => "refused",
        }
    }
}

/// What tells a file from what was in its place before. Links are followed, so that a new target is another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    file: u64,
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            file: metadata.ino(),
            length: metadata.len(),
            // Not when it was modified, which tools set as they like.
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// What some files are; of those that can't be found, that.
pub(crate) type Stamps = Vec<Option<Stamp>>;

/// What is known of some files.
struct Known {
    read: Stamps,
    seen: Stamps,
}

impl Known {
    /// Files that were read when they were `stamps`.
    fn new(stamps: Stamps) -> Self {
        Self { read: stamps.clone(), seen: stamps }
    }

    /// Whether files that are `now` are to be read again: they have changed and have stopped changing.
    fn is_due(&mut self, now: Stamps) -> bool {
        let due = now != self.read && now == self.seen;
        if due {
            self.read.clone_from(&now);
        }
        self.seen = now;
        due
    }
}

/// What is made of some files, and what is known of these.
pub(crate) struct Watched {
    made: Arc<dyn Fresh>,
    known: Known,
}

impl Watched {
    /// `made` of files that were `stamps` before they were read.
    pub(crate) fn new(made: Arc<dyn Fresh>, stamps: Stamps) -> Self {
        Self { made, known: Known::new(stamps) }
    }

    /// Looks at the files and reads them if they are due or if that was `asked`. Blocks.
    fn look(&mut self, asked: bool) {
        let now = stamps(self.made.paths());
        if asked {
            self.known = Known::new(now);
            self.made.reload();
        } else if self.known.is_due(now) {
            self.made.reload();
        }
    }
}

/// What the files at `paths` are now. Blocks.
pub(crate) fn stamps<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Stamps {
    paths.into_iter().map(Stamp::of).collect()
}

/// Reads what is `watched` again whenever its files change or `reloading` says so; for ever.
pub(crate) async fn keep_fresh(mut watched: Vec<Watched>, reloading: Reloading) {
    loop {
        let asked = tokio::select! {
            () = reloading.0.notified() => true,
            () = sleep(PAUSE) => false,
        };
        let looked = spawn_blocking(move || {
            watched.iter_mut().for_each(|watched| watched.look(asked));
            watched
        });
        match looked.await {
            Ok(back) => watched = back,
            // Only when it panicked, or the runtime ends. Whoever runs this ends the node.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(file: u64) -> Stamps {
        vec![None, Some(Stamp { device: 1, file, length: 1, changed: (1, 1) })]
    }

    #[test]
    fn files_are_read_again_once_when_they_have_stopped_changing() {
        let mut known = Known::new(files(1));
        for (now, due) in
            [(1, false), (2, false), (3, false), (3, true), (3, false), (4, false), (3, false), (3, false)]
        {
            assert_eq!(known.is_due(files(now)), due, "{now}");
        }
        assert!(!known.is_due(vec![None, None]));
        assert!(known.is_due(vec![None, None]));
    }
}
