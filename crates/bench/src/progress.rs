//! What is going on, on a terminal. Where standard error is none, nothing is shown.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(500);

/// A line on standard error that says what is going on; gone with its last clone.
#[derive(Debug, Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Nothing is going on yet.
    pub fn new() -> Self {
        Self(ProgressBar::no_length())
    }

    /// Which of several rounds it is, said before all that goes on in it.
    pub fn round(&self, what: String) {
        self.0.set_prefix(what);
    }

    /// From now on `total` of `what` are counted.
    pub fn count(&self, what: &str, total: u64) {
        self.begin("{prefix}{msg} {wide_bar} {human_pos}/{human_len} {elapsed}", what, Some(total));
    }

    /// So many of them are there.
    pub fn at(&self, position: usize) {
        self.0.set_position(position as u64);
    }

    /// From now on it is this that goes on.
    pub fn say(&self, what: &str) {
        self.begin("{spinner} {prefix}{msg} {elapsed}", what, None);
    }

    fn begin(&self, template: &str, what: &str, total: Option<u64>) {
        if self.0.is_hidden() {
            return;
        }
        total.map_or_else(|| self.0.unset_length(), |total| self.0.set_length(total));
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
        self.0.set_message(what.to_owned());
        self.0.reset();
        self.0.enable_steady_tick(TICK);
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
