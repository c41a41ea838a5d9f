//! Scenario: the least that a fan-out can cost on this machine.

use super::fanout::Volley;
use crate::{
    Error,
    options::{Common, Output},
    rounds::Report,
    speech::Speech,
    stage::Round,
};
use clap::Args;

/// What is sent to whom, without a node.
#[derive(Debug, Clone, Args)]
pub struct Floor {
    #[command(flatten)]
    common: Common,
    /// Rounds, each with new connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    #[command(flatten)]
    volley: Volley,
}

impl Floor {
    /// How the result is told.
    pub fn output(&self) -> Output {
        self.common.output
    }

    /// Measures.
    pub async fn run(&self) -> Result<Report<Round>, Error> {
        let (settings, messages) =
            (self.volley.settings(Speech::Native(self.common.dialect).name()), self.volley.messages());
        Report::play_floor(settings, (&self.common, self.rounds), async |arena| messages.play(&arena).await).await
    }
}
