//! Asks the servers of a Redis Cluster which of them has what.

use crate::redis::{
    access::Access,
    dialogue::Dialogue,
    endpoint::{Endpoint, Place},
    redirect::Redirect,
    several::Several,
    topology::{Address, Topology},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a server may take. Several are asked at once, so this is what it takes longer when some hang.
const PATIENCE: Duration = Duration::from_millis(400);

/// Asks over one connection, as long as that works.
pub(super) struct Scout {
    access: Access,
    seeds: Several,
    asked: Option<(Endpoint, Dialogue)>,
}

impl Scout {
    pub(super) fn new(access: Access, seeds: Several) -> Self {
        Self { access, seeds, asked: None }
    }

    /// The server at an address, which takes the same login and is as secure as those that are configured.
    fn endpoint(&self, address: &Address) -> Endpoint {
        self.seeds.first.at(address.host.clone(), address.port)
    }

    /// Who has what. A server that was named as the one that has something is asked first, since it knows best; then
    /// the one that was asked last; then all that are `known`, and those that are configured.
    ///
    /// # Errors
    ///
    /// When nobody says it, what each said instead. The text may hold the password.
    pub(super) async fn ask(&mut self, hint: Option<Redirect>, known: &[Address]) -> Result<Topology, String> {
        let tls = self.access.tls().await?;
        if let Some(endpoint) = hint.map(|hint| self.hinted(hint))
            && let Ok(topology) = self.take(endpoint.clone(), question(endpoint, tls.as_ref()).await)
        {
            return Ok(topology);
        }
        if let Some((endpoint, dialogue)) = self.asked.take()
            && let Ok(topology) = self.take(endpoint.clone(), again(endpoint, dialogue).await)
        {
            return Ok(topology);
        }
        self.ask_all(known, tls.as_ref()).await
    }

    async fn ask_all(&mut self, known: &[Address], tls: Option<&TlsConnector>) -> Result<Topology, String> {
        let mut endpoints: Vec<_> = known.iter().map(|address| self.endpoint(address)).collect();
        endpoints.extend(self.seeds.iter().cloned());
        endpoints.sort_by_key(|endpoint| endpoint.place.identity());
        endpoints.dedup_by_key(|endpoint| endpoint.place.identity());
        let ask = |endpoint: Endpoint| async { (endpoint.clone(), question(endpoint, tls).await) };
        let mut answers: FuturesUnordered<_> = endpoints.into_iter().map(ask).collect();
        let mut reasons = Vec::new();
        while let Some((endpoint, answer)) = answers.next().await {
            match self.take(endpoint, answer) {
                Ok(topology) => return Ok(topology),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.join("; "))
    }

    /// Keeps a connection over which something was learned.
    fn take(&mut self, endpoint: Endpoint, answer: Result<(Dialogue, Topology), String>) -> Result<Topology, String> {
        let (dialogue, topology) = answer.map_err(|reason| format!("{endpoint}: {reason}"))?;
        self.asked = Some((endpoint, dialogue));
        Ok(topology)
    }

    fn hinted(&self, Redirect { host: named, port, .. }: Redirect) -> Endpoint {
        let asked = self.asked.as_ref().map_or(&self.seeds.first, |(endpoint, _)| endpoint);
        let host = if named.is_empty() { host(asked).to_owned() } else { named };
        self.endpoint(&Address { host, port })
    }
}

async fn question(endpoint: Endpoint, tls: Option<&TlsConnector>) -> Result<(Dialogue, Topology), String> {
    let asked = async {
        let (dialogue, _) = Dialogue::begin(&endpoint, tls).await?;
        slots(dialogue, &endpoint).await
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(endpoint.silence(PATIENCE)))
}

async fn again(endpoint: Endpoint, dialogue: Dialogue) -> Result<(Dialogue, Topology), String> {
    let asked = slots(dialogue, &endpoint);
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(endpoint.silence(PATIENCE)))
}

/// What a server says of all slots.
pub(super) async fn slots(mut dialogue: Dialogue, endpoint: &Endpoint) -> Result<(Dialogue, Topology), String> {
    let answer = dialogue.done(redis::cmd("CLUSTER").arg("SLOTS")).await?;
    match Topology::read(&answer, host(endpoint)) {
        Some(topology) if topology.is_empty() => Err("it knows no server that has a slot".to_owned()),
        Some(topology) => Ok((dialogue, topology)),
        None => Err("it does not say which server has which slots".to_owned()),
    }
}

fn host(endpoint: &Endpoint) -> &str {
    match &endpoint.place {
        Place::Tcp { host, .. } | Place::Tls { host, .. } => host,
        Place::Unix(_) => "localhost",
    }
}
