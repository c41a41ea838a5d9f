//! `fanwire sub`.

mod begin;
mod lines;
mod objects;
mod places;

use crate::{
    args::{Args, SubArgs},
    config::Environment,
    endpoint,
    failure::Failure,
    output,
};
use clap::{CommandFactory, error::ErrorKind};
use fanwire_client::{Client, Event, Events, Options, Reconnect};
use lines::Line;
use places::Places;
use std::{cell::RefCell, future};
use tokio::{signal::ctrl_c, time::sleep};

/// Prints what arrives until there was enough of it, Ctrl-C, or the connection ends for good.
pub(crate) async fn subscribe(args: SubArgs, environment: &Environment) -> Result<(), Failure> {
    check(&args);
    let options = Options {
        reconnect: (!args.no_reconnect).then(Reconnect::default),
        broadcasts_since: args.since.clone().filter(|_| args.channels.is_empty()),
        ..Options::default()
    };
    let (client, events) = endpoint::connect(&args.endpoint, environment, options).await?;
    let places = RefCell::default();
    // Printing comes first, since messages that nobody takes would hold back the answers to subscriptions.
    let outcome = tokio::select! {
        biased;
        printed = print_all(&args, events, &places) => printed,
        failure = keep_listening(&args, &client, &places) => Err(failure),
        pressed = ctrl_c() => pressed.map_err(Failure::from),
    };
    client.close().await;
    if args.recover && !args.json {
        places.borrow().tell();
    }
    outcome
}

/// Ends with a usage error what the definition of the arguments can't express.
fn check(args: &SubArgs) {
    if args.since.is_some() && args.channels.len() > 1 {
        let message = "--since is a place in the history of one channel, so only one channel can be given";
        <Args as CommandFactory>::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
}

/// Subscribes, and returns when that fails or when the time is over.
async fn keep_listening(args: &SubArgs, client: &Client, places: &RefCell<Places>) -> Failure {
    for channel in &args.channels {
        match begin::subscribe(args, client, channel).await {
            Ok(place) => places.borrow_mut().begin(channel, place),
            Err(error) => return error.into(),
        }
    }
    announce(args, client);
    match args.timeout {
        None => future::pending().await,
        Some(limit) => sleep(limit).await,
    }
    let what = args.count.map_or_else(|| "the end".to_owned(), |count| format!("{count} messages"));
    Failure::TimedOut(what)
}

fn announce(args: &SubArgs, client: &Client) {
    let what = if args.channels.is_empty() { "broadcasts".to_owned() } else { args.channels.join(", ") };
    output::tell(&format!("listening to {what} at {} (node {})", args.endpoint.url, client.welcome().node));
}

async fn print_all(args: &SubArgs, mut events: Events, places: &RefCell<Places>) -> Result<(), Failure> {
    let mut left = args.count;
    while left != Some(0) {
        let event = events.next().await?;
        places.borrow_mut().follow(&event);
        let shown = match event {
            Event::Recovering { .. } | Event::Live { .. } => args.recover,
            Event::Join { .. } | Event::Leave { .. } => args.presence,
            _ => true,
        };
        if shown {
            print(&event, args.json)?;
        }
        let counts = matches!(event, Event::Message { .. } | Event::Broadcast { .. });
        left = left.map(|left| left - u64::from(counts));
    }
    Ok(())
}

fn print(event: &Event, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(objects::as_json(event)?.map_or(Ok(()), |object| output::result(&object))?);
    }
    match lines::as_text(event) {
        Line::Result(line) => output::result(&line)?,
        Line::Notice(line) => output::tell(&line),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
