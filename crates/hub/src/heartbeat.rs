//! When to ping, and when a connection is dead.

/// The settings of all heartbeats, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// From ping to ping.
    pub(crate) interval: u64,
    /// How long nothing at all may arrive after a ping.
    pub(crate) timeout: u64,
}

/// In how many moments of an interval pings are sent.
const MOMENTS: u64 = 512;

impl Pace {
    /// The last moment for pings up to `time`. All that are pinged at the same moment cost one waking.
    fn moment(self, time: u64) -> u64 {
        time - time % self.step()
    }

    /// From one moment for pings to the next.
    fn step(self) -> u64 {
        (self.interval / MOMENTS).max(1)
    }
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Send a ping.
    Ping,
    /// Nothing.
    Wait,
    /// Give the connection up.
    Dead,
}

/// The heartbeat of one connection. Times are milliseconds of the shard's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heartbeat {
    next_ping: u64,
    /// The first ping since which nothing has arrived.
    unanswered: Option<u64>,
}

impl Heartbeat {
    /// A heartbeat whose first ping comes after `spread` of an interval (0 to 1), so that a fleet does not tick
    /// together.
    pub(crate) fn new(pace: Pace, now: u64, spread: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of an interval that is itself in range"
        )]
        let first = (pace.interval as f64 * spread.clamp(0.0, 1.0)) as u64;
        Self { next_ping: pace.moment(now + first).max(pace.moment(now) + pace.step()), unanswered: None }
    }

    /// What is to be done at `now`, if the last bytes arrived at `last_arrival`.
    pub(crate) fn beat(&mut self, pace: Pace, now: u64, last_arrival: u64) -> Beat {
        if self.unanswered.is_some_and(|ping| last_arrival >= ping) {
            self.unanswered = None;
        }
        if self.unanswered.is_some_and(|ping| now >= ping + pace.timeout) {
            return Beat::Dead;
        }
        if now < self.next_ping {
            return Beat::Wait;
        }
        self.next_ping = pace.moment(now + pace.interval);
        self.unanswered.get_or_insert(now);
        Beat::Ping
    }

    /// When to ask again.
    pub(crate) fn next(&self, pace: Pace) -> u64 {
        self.unanswered.map_or(self.next_ping, |ping| self.next_ping.min(ping + pace.timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the clock in the heartbeat's own steps up to `until`; `arrivals` are when bytes arrive.
    #[track_caller]
    fn check(pace: Pace, arrivals: &[u64], until: u64, expected: &[(u64, Beat)]) {
        let mut heartbeat = Heartbeat::new(pace, 0, 0.5);
        let mut seen = Vec::new();
        loop {
            let now = heartbeat.next(pace);
            let last = arrivals.iter().copied().filter(|at| *at <= now).max().unwrap_or_default();
            if now > until {
                break;
            }
            match heartbeat.beat(pace, now, last) {
                Beat::Wait => {}
                beat => seen.push((now, beat)),
            }
            if seen.last().is_some_and(|(_, beat)| *beat == Beat::Dead) {
                break;
            }
        }
        assert_eq!(seen, expected);
    }

    const PACE: Pace = Pace { interval: 20, timeout: 20 };

    #[test]
    fn a_silent_connection_dies_a_timeout_after_its_first_ping() {
        check(PACE, &[], 1000, &[(10, Beat::Ping), (30, Beat::Dead)]);
    }

    #[test]
    fn any_arrival_after_the_ping_keeps_a_connection() {
        check(PACE, &[11, 49], 95, &[(10, Beat::Ping), (30, Beat::Ping), (50, Beat::Ping), (70, Beat::Dead)]);
    }

    #[test]
    fn pings_keep_their_interval_while_a_longer_timeout_runs() {
        let pace = Pace { interval: 20, timeout: 50 };
        check(pace, &[], 1000, &[(10, Beat::Ping), (30, Beat::Ping), (50, Beat::Ping), (60, Beat::Dead)]);
    }

    #[test]
    fn connections_of_about_the_same_time_are_pinged_together() {
        let pace = Pace { interval: 20_480, timeout: 20_480 };
        check(pace, &[10_300, 30_800], 60_000, &[(10_240, Beat::Ping), (30_720, Beat::Ping), (51_200, Beat::Ping)]);
        let first = |now| Heartbeat::new(pace, now, 0.5).next(pace);
        assert_eq!([first(1), first(39), first(40)], [10_240, 10_240, 10_280]);
        assert_eq!(Heartbeat::new(pace, 79, 0.0).next(pace), 80);
    }

    #[test]
    fn a_timeout_shorter_than_the_interval_is_kept() {
        check(Pace { interval: 20, timeout: 5 }, &[12], 200, &[(10, Beat::Ping), (30, Beat::Ping), (35, Beat::Dead)]);
    }
}
