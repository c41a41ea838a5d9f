//! Who a connection belongs to: tokens at the upgrade and later, and what is decided without any.

use crate::{
    metrics::Metrics,
    presence::HeldLease,
    time::unix_micros,
    users::{Bearer, NoPlace, Noted, Users},
};
use fanwire_auth::{Grant, InvalidToken, Verifier};
use fanwire_protocol::{ConnectionId, UserId};
use http::{HeaderMap, Uri, header};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};
use zeroize::Zeroizing;

/// What subprotocols begin with that are tokens.
const SUBPROTOCOL: &str = "bearer.";

/// What stands before a token in `Authorization`.
const SCHEME: &str = "bearer";

/// How connections say who they are.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What tells tokens that grant something.
    pub verifier: Arc<Verifier>,
    /// Whether a connection may have none.
    pub anonymous: bool,
    /// Whether a token may stand in the query of the upgrade.
    pub query: bool,
    /// How long a connection may take to send one.
    pub timeout: Duration,
}

impl Auth {
    /// What `token` grants, counted.
    pub(crate) async fn verify(&self, token: &str, users: &Users, metrics: &Metrics) -> Result<Grant, InvalidToken> {
        let verified = self.verifier.verify(token).await.and_then(|grant| unrevoked(grant, users));
        metrics.verified(verified.as_ref().err());
        verified
    }
}

fn unrevoked(grant: Grant, users: &Users) -> Result<Grant, InvalidToken> {
    if grant.id.as_deref().is_some_and(|id| users.is_revoked(id)) { Err(InvalidToken::Revoked) } else { Ok(grant) }
}

/// Who a connection is, and by whose word. Noted among [`Users`] as long as it is kept.
#[derive(Debug)]
pub(crate) struct Identity {
    word: Word,
    /// Its place among those of its user on all nodes, where these are limited.
    lease: Option<HeldLease>,
    noted: Noted,
}

/// Whose word counts.
#[derive(Debug)]
enum Word {
    /// That of a token, until it ends, if ever that is. The timer is of the runtime that waits for it.
    Token { grant: Grant, ends: Option<Instant>, timer: Option<Pin<Box<Sleep>>> },
    /// That of a trusted proxy.
    Proxy(UserId),
}

impl Identity {
    /// The bearer of a token that has just been verified, noted among `users`, of whom each may have `limit` connections;
    /// `since` a time in microseconds since the Unix epoch.
    pub(crate) fn bearer(
        grant: Grant,
        connection: ConnectionId,
        users: &Users,
        limit: usize,
        since: u64,
    ) -> Result<Self, NoPlace> {
        let bearer = Bearer { user: grant.user.as_ref(), token: grant.id.as_deref(), since };
        let noted = users.note(connection, bearer, limit)?;
        let ends = Instant::now().checked_add(grant.lasts);
        Ok(Self { word: Word::Token { grant, ends, timer: None }, lease: None, noted })
    }

    /// The user whom a trusted proxy has told, noted likewise.
    pub(crate) fn told(user: UserId, connection: ConnectionId, users: &Users, limit: usize) -> Result<Self, NoPlace> {
        let bearer = Bearer { user: Some(&user), token: None, since: unix_micros() };
        let noted = users.note(connection, bearer, limit)?;
        Ok(Self { word: Word::Proxy(user), lease: None, noted })
    }

    /// The same with `lease`, which is kept as long.
    pub(crate) fn with_lease(self, lease: Option<HeldLease>) -> Self {
        Self { lease, ..self }
    }

    /// The same in the place of `before`, of the same connection, with its lease.
    pub(crate) fn succeeding(self, before: Self) -> Self {
        self.noted.supersede(before.noted);
        Self { lease: before.lease.or(self.lease), ..self }
    }

    /// Since when the connection is its user's, in microseconds since the Unix epoch.
    pub(crate) fn since(&self) -> u64 {
        self.noted.since()
    }

    /// The user, where it is known.
    pub(crate) fn user(&self) -> Option<&UserId> {
        match &self.word {
            Word::Token { grant, .. } => grant.user.as_ref(),
            Word::Proxy(user) => Some(user),
        }
    }

    /// What its token grants, if it has come with one.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        match &self.word {
            Word::Token { grant, .. } => Some(grant),
            Word::Proxy(_) => None,
        }
    }

    /// Ready when its token, if there is one, holds no longer. Not a future of its own, for each session would have room
    /// for it.
    pub(crate) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Word::Token { ends: Some(ends), timer, .. } = &mut self.word else { return Poll::Pending };
        timer.get_or_insert_with(|| Box::pin(sleep_until(*ends))).as_mut().poll(context)
    }
}

/// How a connection enters.
#[derive(Debug)]
pub(crate) enum Entrance {
    /// It is let in, as somebody if that is known.
    Admitted(Option<Box<Identity>>),
    /// It has to send a token first.
    Waiting,
}

/// What a request to upgrade says of its sender.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) token: Option<Zeroizing<String>>,
    /// The subprotocols that are offered, with commas between, without those that are tokens.
    pub(crate) subprotocols: String,
}

/// A request has more than one token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SeveralTokens;

impl Credentials {
    /// What stands in a request to `uri` with `headers`. A token in the query counts only if there it `may` stand.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap, may: bool) -> Result<Self, SeveralTokens> {
        let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let offered: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let names = offered.iter().flat_map(|line| line.split(',')).map(str::trim);
        let (tokens, names): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with(SUBPROTOCOL));
        let subprotocols = tokens.iter().filter_map(|name| name.strip_prefix(SUBPROTOCOL)).map(str::to_owned);
        let query = uri.query().filter(|_| may).into_iter().flat_map(in_query);
        let mut tokens = authorizations(headers).chain(subprotocols).chain(query);
        match (tokens.next(), tokens.next()) {
            (token, None) => Ok(Self { token: token.map(Zeroizing::new), subprotocols: names.join(",") }),
            _ => Err(SeveralTokens),
        }
    }
}

/// The tokens in `Authorization`. Other schemes are for proxies.
fn authorizations(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers.get_all(header::AUTHORIZATION).iter().filter_map(|line| {
        let line = line.to_str().ok()?;
        let (scheme, token) = line.split_once(' ').unwrap_or((line, ""));
        scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim().to_owned())
    })
}

/// The tokens in a query. What can stand in a token needs no escape.
fn in_query(query: &str) -> impl Iterator<Item = String> {
    query.split('&').filter_map(|pair| pair.strip_prefix("token=")).map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(target: &str, lines: &[(&'static str, &str)], may: bool) -> Result<Credentials, SeveralTokens> {
        let headers = lines.iter().fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(*name, value.parse().unwrap());
            headers
        });
        Credentials::of(&target.parse().unwrap(), &headers, may)
    }

    fn found(token: Option<&str>, subprotocols: &str) -> Result<Credentials, SeveralTokens> {
        Ok(Credentials { token: token.map(str::to_owned).map(Zeroizing::new), subprotocols: subprotocols.to_owned() })
    }

    #[test]
    fn a_token_is_found_wherever_it_may_stand() {
        assert_eq!(of("/", &[], true), found(None, ""));
        assert_eq!(of("/", &[("authorization", "Bearer a.b.c")], false), found(Some("a.b.c"), ""));
        assert_eq!(of("/", &[("authorization", "BEARER  a.b.c ")], false), found(Some("a.b.c"), ""));
        assert_eq!(of("/", &[("authorization", "Bearer")], false), found(Some(""), ""));
        assert_eq!(of("/", &[("authorization", "Basic YTpi")], false), found(None, ""));
        assert_eq!(of("/", &[("authorization", "Bear\u{e9}")], false), found(None, ""));
        let protocols = "fanwire.v1.json, bearer.a.b.c";
        assert_eq!(of("/", &[("sec-websocket-protocol", protocols)], false), found(Some("a.b.c"), "fanwire.v1.json"));
        let lines = [("sec-websocket-protocol", "bearer.a"), ("sec-websocket-protocol", "x,y")];
        assert_eq!(of("/", &lines, false), found(Some("a"), "x,y"));
        assert_eq!(of("/?x=1&token=a.b.c", &[], true), found(Some("a.b.c"), ""));
        assert_eq!(of("/?token=a.b.c", &[], false), found(None, ""));
        assert_eq!(of("/?mytoken=a", &[], true), found(None, ""));
    }

    #[test]
    fn two_tokens_are_one_too_many() {
        let (header, protocol) = (("authorization", "Bearer a"), ("sec-websocket-protocol", "bearer.a"));
        for (target, lines) in [
            ("/", vec![header, protocol]),
            ("/", vec![header, header]),
            ("/?token=a", vec![header]),
            ("/?token=a&token=a", vec![]),
            ("/", vec![("sec-websocket-protocol", "bearer.a,bearer.b")]),
        ] {
            assert_eq!(of(target, &lines, true), Err(SeveralTokens));
        }
    }
}
