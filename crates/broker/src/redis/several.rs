//! Several servers, as they are configured.

use crate::redis::{
    endpoint::{Endpoint, Place},
    secret::Secret,
    settings::InvalidRedisConfig,
};
use std::fmt;

/// At least one, none twice, all in the same database.
#[derive(Debug, Clone)]
pub(super) struct Several {
    pub(super) first: Endpoint,
    pub(super) others: Vec<Endpoint>,
}

impl Several {
    pub(super) fn parse(urls: &[String], port: u16) -> Result<Self, InvalidRedisConfig> {
        let endpoint = |(index, url): (usize, &String)| {
            let wrong = |reason| InvalidRedisConfig::Server { number: index + 1, reason: Box::new(reason) };
            Endpoint::parse(url, port).map_err(wrong)
        };
        let endpoints = urls.iter().enumerate().map(endpoint).collect::<Result<Vec<_>, _>>()?;
        check_twice(&endpoints)?;
        let mut endpoints = endpoints.into_iter();
        let first = endpoints.next().ok_or(InvalidRedisConfig::NoServers)?;
        let several = Self { first, others: endpoints.collect() };
        several.agree(|one, other| one.database() == other.database(), InvalidRedisConfig::Databases)?;
        Ok(several)
    }

    /// That these can be servers of a Redis Cluster: others, which they name, are logged in to in the same way.
    pub(super) fn of_cluster(self) -> Result<Self, InvalidRedisConfig> {
        let wrong = InvalidRedisConfig::Cluster;
        if self.first.database() != 0 {
            return Err(wrong("has database 0 only; expected URLs without another"));
        }
        if self.iter().any(|endpoint| matches!(endpoint.place, Place::Unix(_))) {
            return Err(wrong(
                "names no Unix socket to those who ask where its servers are; expected redis://host:port",
            ));
        }
        self.agree(
            |one, other| one.wants_tls() == other.wants_tls(),
            wrong("is reached over TLS at all or none of its servers"),
        )?;
        let login = |endpoint: &Endpoint| (endpoint.user().to_owned(), endpoint.login.password().map(str::to_owned));
        self.agree(
            |one, other| login(one) == login(other),
            wrong("has no different logins; expected the same user and password in all URLs"),
        )?;
        Ok(self)
    }

    /// The same with the password of each in a file.
    pub(super) fn with_secret(self, secret: &Secret) -> Result<Self, InvalidRedisConfig> {
        let others = self.others.into_iter().map(|other| other.with_secret(secret)).collect::<Result<_, _>>()?;
        Ok(Self { first: self.first.with_secret(secret)?, others })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn agree(
        &self,
        alike: impl Fn(&Endpoint, &Endpoint) -> bool,
        otherwise: InvalidRedisConfig,
    ) -> Result<(), InvalidRedisConfig> {
        if self.others.iter().all(|other| alike(&self.first, other)) { Ok(()) } else { Err(otherwise) }
    }
}

fn check_twice(endpoints: &[Endpoint]) -> Result<(), InvalidRedisConfig> {
    for (index, endpoint) in endpoints.iter().enumerate() {
        let same = |earlier: &Endpoint| earlier.place.identity() == endpoint.place.identity();
        if let Some(earlier) = endpoints.iter().take(index).position(same) {
            return Err(InvalidRedisConfig::Twice(earlier + 1, index + 1));
        }
    }
    Ok(())
}

impl fmt::Display for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.iter().map(ToString::to_string).collect();
        f.write_str(&places.join(", "))
    }
}
