//! A process that has subscribers for another one: orders come in lines of JSON from standard input, answers go to standard
//! output.

use crate::{
    Error,
    crew::{Crew, Job, Tally},
    subscriber::follow,
};
use serde::{Deserialize, Serialize};
use std::{
    cell::Cell,
    io::{Write, stdout},
    time::{Duration, Instant},
};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};

/// How often it is told how many are open.
const NEWS: Duration = Duration::from_millis(200);

/// What a worker is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Open subscribers; the first order.
    Open(Box<Job>),
    /// Measure from now on.
    Restart {
        /// From when on, by the machine's clock.
        nanos: u64,
        /// From which message on.
        first: u64,
    },
    /// Wait for all messages and tell what came.
    Settle {
        /// The number after the last message.
        end: u64,
        /// How long to wait without any arrival.
        patience: Duration,
    },
}

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// So many are open, and more are to come.
    Opening(usize),
    /// All are open that will be.
    Open(usize),
    /// It measures.
    Restarted,
    /// What came.
    Settled(Tally),
    /// It can't go on.
    Failed(String),
}

/// Carries out orders until there are no more.
pub async fn work() -> Result<(), Error> {
    let mut orders = BufReader::new(stdin()).lines();
    let worked = carry_out(&mut orders).await;
    if let Err(error) = worked {
        return tell(&Answer::Failed(error.to_string()));
    }
    Ok(())
}

async fn carry_out(orders: &mut Lines<BufReader<Stdin>>) -> Result<(), Error> {
    let Some(Order::Open(job)) = next(orders).await? else {
        return Err(Error::Helper { role: "worker", reason: "the first order is to open".to_owned() });
    };
    let told = Cell::new(Instant::now());
    let news = |open| {
        if told.get().elapsed() >= NEWS {
            told.set(Instant::now());
            // Should nobody listen, the end of the orders says so as well.
            let _ = tell(&Answer::Opening(open));
        }
    };
    let mut crew = Crew::open(&job, follow, None, news).await?;
    tell(&Answer::Open(crew.len()))?;
    while let Some(order) = next(orders).await? {
        match order {
            Order::Restart { nanos, first } => {
                crew.restart(nanos, first);
                tell(&Answer::Restarted)?;
            }
            Order::Settle { end, patience } => tell(&Answer::Settled(crew.settle(end, patience).await))?,
            Order::Open(_) => return Err(Error::Helper { role: "worker", reason: "it has opened already".to_owned() }),
        }
    }
    Ok(())
}

async fn next(orders: &mut Lines<BufReader<Stdin>>) -> Result<Option<Order>, Error> {
    let Some(line) = orders.next_line().await.map_err(Error::system("standard input"))? else { return Ok(None) };
    let unreadable = |error: serde_json::Error| Error::Helper { role: "worker", reason: format!("order: {error}") };
    serde_json::from_str(&line).map(Some).map_err(unreadable)
}

fn tell(answer: &Answer) -> Result<(), Error> {
    let mut line = serde_json::to_vec(answer).map_err(std::io::Error::from).map_err(Error::system("an answer"))?;
    line.push(b'\n');
    let mut stdout = stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(Error::system("standard output"))
}
