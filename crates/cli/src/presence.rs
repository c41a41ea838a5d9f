//! `fanwire presence`.

use crate::{args::PresenceArgs, config::Environment, endpoint, failure::Failure, member::Described, output};
use fanwire_client::{Client, MembersQuery, Options};

/// How many members are asked for at once: as many as a node gives.
const PAGE: u32 = 1000;

/// Prints who is on a channel, or how many.
pub(crate) async fn presence(args: PresenceArgs, environment: &Environment) -> Result<(), Failure> {
    let options = Options { connect_timeout: args.timeout, answer_timeout: args.timeout, ..Options::default() };
    let (client, events) = endpoint::connect(&args.endpoint, environment, options).await?;
    // Broadcasts are of no interest here.
    drop(events);
    let outcome = if args.stats { count(&args, &client).await } else { list(&args, &client).await };
    client.close().await;
    outcome
}

async fn list(args: &PresenceArgs, client: &Client) -> Result<(), Failure> {
    let mut query = MembersQuery { after: None, limit: Some(PAGE) };
    loop {
        let page = client.members(&args.channel, query).await?;
        for member in &page.members {
            let described = Described::new(member)?;
            output::result(&if args.json { described.object()? } else { described.line() })?;
        }
        query.after = page.members.last().map(|member| member.connection);
        if !page.more || query.after.is_none() {
            return Ok(());
        }
    }
}

async fn count(args: &PresenceArgs, client: &Client) -> Result<(), Failure> {
    let stats = client.presence_stats(&args.channel).await?;
    let (connections, users) = (stats.connections, stats.users);
    Ok(output::result(&if args.json {
        format!("{{\"connections\":{connections},\"users\":{users}}}")
    } else {
        format!("{connections} connections, {users} users")
    })?)
}
