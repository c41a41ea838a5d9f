//! The peak of a process's memory, sampled beside a measurement.

use crate::{Error, process::Watch};
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

/// The time between two samples. Reading `smaps_rollup` walks the page tables, so not more often.
pub const PERIOD: Duration = Duration::from_millis(500);

/// Samples memory on a thread of its own, so that the receivers' times don't suffer.
#[derive(Debug)]
pub struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Vec<u64>>,
}

impl Sampler {
    /// Starts to sample the processes of `watch`.
    pub fn start(watch: Watch) -> Result<Self, Error> {
        let (stop, stopped) = channel();
        let work = move || {
            let mut peaks = Vec::new();
            loop {
                let stopping = stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout);
                raise(&mut peaks, watch.memory().unwrap_or_default());
                if stopping {
                    return peaks;
                }
            }
        };
        let thread = thread::Builder::new().spawn(work).map_err(Error::system("thread for samples of memory"))?;
        Ok(Self { stop, thread })
    }

    /// The highest value of each process since the start, in bytes.
    pub fn stop(self) -> Vec<u64> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn raise(peaks: &mut Vec<u64>, sample: Vec<u64>) {
    if peaks.is_empty() {
        *peaks = sample;
    } else {
        peaks.iter_mut().zip(sample).for_each(|(peak, value)| *peak = value.max(*peak));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_never_lowered_and_survives_a_process() {
        let mut peaks = Vec::new();
        for sample in [vec![5, 1], vec![3, 2], vec![]] {
            raise(&mut peaks, sample);
        }
        assert_eq!(peaks, [5, 2]);
    }
}
