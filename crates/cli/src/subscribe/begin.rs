//! Where subscriptions begin.

use crate::args::SubArgs;
use fanwire_client::{Client, Error, HistoryQuery, Position};

/// The most publications that a node gives at a time.
const PAGE: u32 = 1000;

/// Subscribes to `channel` from where the arguments say, and tells where it begins, if the channel has a history.
pub(super) async fn subscribe(args: &SubArgs, client: &Client, channel: &str) -> Result<Option<Position>, Error> {
    match (&args.since, args.history) {
        (Some(place), _) => client.subscribe_from(channel, place.clone()).await,
        (None, Some(count)) => {
            let place = before_last(client, channel, count).await?;
            client.subscribe_from(channel, place).await
        }
        (None, None) => client.subscribe(channel).await,
    }
}

/// The place before the last `count` publications of `channel`, as far as they are kept.
async fn before_last(client: &Client, channel: &str, count: u32) -> Result<Position, Error> {
    let (mut left, mut since, mut begin) = (count, None, None);
    loop {
        let query = HistoryQuery { since, limit: Some(left.min(PAGE)), reverse: true };
        let page = client.history(channel, query).await?;
        let read = u32::try_from(page.publications.len()).unwrap_or(u32::MAX);
        let Some(oldest) = page.publications.into_iter().last().map(|publication| publication.position) else {
            return Ok(begin.unwrap_or(page.newest));
        };
        let before = oldest.with_offset(oldest.offset().saturating_sub(1));
        left = left.saturating_sub(read);
        if left == 0 {
            return Ok(before);
        }
        (since, begin) = (Some(oldest), Some(before));
    }
}
