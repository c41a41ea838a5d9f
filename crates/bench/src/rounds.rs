//! Rounds of a scenario, in turn at the server and at the floor, and how they compare.

use crate::{
    Error,
    arena::Arena,
    floor::Floor,
    options::{Common, Subject},
    progress::Progress,
    speech::Speech,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// What a round shows as numbers.
pub trait Measured: Serialize + fmt::Display {
    /// Its numbers, by names that stay the same.
    fn figures(&self) -> BTreeMap<&'static str, f64>;
    /// Whether nothing was lost, doubled, out of order or broken.
    fn is_clean(&self) -> bool;
}

/// How a figure varied from round to round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The value in the middle; of two there the mean.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of `values`; none of nothing.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median, least, most })
    }
}

/// Figures by name.
pub type Table = BTreeMap<&'static str, Spread>;

/// The rounds of a scenario.
#[derive(Debug, Serialize)]
pub struct Report<R> {
    /// Which scenario.
    pub scenario: &'static str,
    /// What it was asked for, by the names of its options.
    pub settings: serde_json::Value,
    /// Each round at the server.
    pub rounds: Vec<R>,
    /// The same at the floor; each was played after the round of the same place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub floor_rounds: Vec<R>,
    /// How the rounds' figures varied.
    pub summary: Table,
    /// The same of the floor's.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub floor_summary: Table,
    /// How each round's figure divided by the floor's varied.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub ratios: Table,
}

impl<R: Measured> Report<R> {
    /// Plays rounds as `repeat` says, with what `common` names, in `speech`.
    pub async fn play(
        scenario: &'static str,
        settings: serde_json::Value,
        (Subject { common, repeat, .. }, speech): (&Subject, Speech),
        round: impl AsyncFn(Arena) -> Result<R, Error>,
    ) -> Result<Self, Error> {
        let progress = Progress::new();
        let floor = if repeat.floor { Some(Floor::start().await?) } else { None };
        let arena = Arena { common: common.clone(), speech, progress: progress.clone() };
        let (mut rounds, mut floor_rounds) = (Vec::new(), Vec::new());
        for number in 1..=repeat.rounds() {
            progress.round(format!("round {number} of {}: ", repeat.rounds()));
            rounds.push(round(arena.clone()).await?);
            if let Some(floor) = &floor {
                progress.round(format!("floor {number} of {}: ", repeat.rounds()));
                floor_rounds.push(round(floor.arena(&arena)).await?);
            }
        }
        progress.clear();
        Ok(Self::of(scenario, settings, rounds, floor_rounds))
    }

    /// Plays rounds at the floor alone.
    pub async fn play_floor(
        settings: serde_json::Value,
        (common, rounds): (&Common, u32),
        round: impl AsyncFn(Arena) -> Result<R, Error>,
    ) -> Result<Self, Error> {
        let floor = Floor::start().await?;
        let arena = floor.arena(&Arena::of_nodes(common));
        let mut played = Vec::new();
        for number in 1..=rounds {
            arena.progress.round(format!("round {number} of {rounds}: "));
            played.push(round(arena.clone()).await?);
        }
        arena.progress.clear();
        Ok(Self::of("floor", settings, played, Vec::new()))
    }

    fn of(scenario: &'static str, settings: serde_json::Value, rounds: Vec<R>, floor_rounds: Vec<R>) -> Self {
        let (own, floor) = (figures(&rounds), figures(&floor_rounds));
        let (summary, floor_summary, ratios) = (table(&own), table(&floor), table(&ratios(&own, &floor)));
        Self { scenario, settings, rounds, floor_rounds, summary, floor_summary, ratios }
    }

    /// Whether every round was clean, those at the floor too.
    pub fn is_clean(&self) -> bool {
        self.rounds.iter().chain(&self.floor_rounds).all(R::is_clean)
    }
}

fn figures<R: Measured>(rounds: &[R]) -> Vec<BTreeMap<&'static str, f64>> {
    rounds.iter().map(R::figures).collect()
}

/// What each round has that the floor's has too, divided by it.
fn ratios(
    own: &[BTreeMap<&'static str, f64>],
    floor: &[BTreeMap<&'static str, f64>],
) -> Vec<BTreeMap<&'static str, f64>> {
    let divide = |(own, floor): (&BTreeMap<&'static str, f64>, &BTreeMap<&'static str, f64>)| {
        let of = |(name, value): (&&'static str, &f64)| {
            floor.get(name).filter(|floor| **floor > 0.0).map(|floor| (*name, value / floor))
        };
        own.iter().filter_map(of).collect()
    };
    own.iter().zip(floor).map(divide).collect()
}

fn table(rounds: &[BTreeMap<&'static str, f64>]) -> Table {
    let mut values = BTreeMap::<_, Vec<f64>>::new();
    for (name, value) in rounds.iter().flatten() {
        values.entry(*name).or_default().push(*value);
    }
    values.into_iter().filter_map(|(name, values)| Some((name, Spread::of(values)?))).collect()
}

impl<R: Measured> fmt::Display for Report<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scenario)?;
        for (name, value) in self.settings.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            write!(f, " {name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
        }
        if let ([round], []) = (&self.rounds[..], &self.floor_rounds[..]) {
            return write!(f, "\n{round}");
        }
        for (index, round) in self.rounds.iter().enumerate() {
            write!(f, "\n-- round {}\n{round}", index + 1)?;
            self.floor_rounds.get(index).iter().try_for_each(|round| write!(f, "\n-- floor\n{round}"))?;
        }
        write!(f, "\n-- medians of {} rounds (least to most)", self.rounds.len())?;
        for (name, own) in &self.summary {
            write!(f, "\n{name:<22} {}", Shown(own))?;
            self.floor_summary.get(name).iter().try_for_each(|floor| write!(f, "  floor {}", Shown(floor)))?;
            self.ratios.get(name).iter().try_for_each(|ratio| write!(f, "  ratio {}", Shown(ratio)))?;
        }
        Ok(())
    }
}

struct Shown<'a>(&'a Spread);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, least, most } = self.0;
        let digits = if most.abs() < 100.0 { 3 } else { 0 };
        write!(f, "{median:.digits$} ({least:.digits$} to {most:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fake(f64);

    impl Measured for Fake {
        fn figures(&self) -> BTreeMap<&'static str, f64> {
            BTreeMap::from([("pace", self.0)])
        }

        fn is_clean(&self) -> bool {
            self.0 > 0.0
        }
    }

    impl fmt::Display for Fake {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)
        }
    }

    fn report(own: &[f64], floor: &[f64]) -> Report<Fake> {
        let fakes = |values: &[f64]| values.iter().copied().map(Fake).collect();
        Report::of("fake", serde_json::json!({"size": 1}), fakes(own), fakes(floor))
    }

    #[test]
    fn ratios_are_those_of_rounds_beside_each_other() {
        let report = report(&[2.0, 30.0, 4.0], &[1.0, 10.0, 4.0]);
        assert_eq!(report.summary["pace"], Spread { median: 4.0, least: 2.0, most: 30.0 });
        assert_eq!(report.floor_summary["pace"], Spread { median: 4.0, least: 1.0, most: 10.0 });
        assert_eq!(report.ratios["pace"], Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert!(report.to_string().contains("ratio 2.000 (1.000 to 3.000)"), "{report}");
    }

    #[test]
    fn without_a_floor_there_are_no_ratios() {
        let report = report(&[2.0, 4.0], &[]);
        assert_eq!(report.summary["pace"].median, 3.0);
        assert!(report.ratios.is_empty() && report.is_clean());
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn one_round_that_is_not_clean_spoils_all() {
        assert!(!report(&[2.0, 0.0], &[]).is_clean());
        assert!(!report(&[2.0], &[0.0]).is_clean());
    }
}
