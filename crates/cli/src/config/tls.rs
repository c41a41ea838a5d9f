//! TLS on a port of the node: its certificates, and whose clients it takes.

use super::{
    Effective,
    problem::Problem,
    setting::{Choice, Setting, Visitor, any},
};
use config::ValueKind;
use fanwire_tls::{Clients, InvalidTls, LeastVersion, Pair, ServerFiles, ServerSide};
use std::{path::PathBuf, time::SystemTime};

/// Paths of files: in a configuration file one as a text, or a list; elsewhere separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paths(Vec<String>);

impl Setting for Paths {
    fn expected() -> String {
        "the path of a file, or a list of those".to_owned()
    }

    fn read(kind: &ValueKind) -> Option<Self> {
        match kind {
            ValueKind::String(path) if path.is_empty() => Some(Self::default()),
            ValueKind::String(path) => Some(Self(vec![path.clone()])),
            list => Vec::read(list).map(Self),
        }
    }

    fn write(&self) -> ValueKind {
        self.0.write()
    }
}

impl Choice for LeastVersion {
    const NAMES: &'static [(&'static str, Self)] = &[("1.2", Self::Tls12), ("1.3", Self::Tls13)];
}

/// Whether clients without a certificate are taken where an authority for clients is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// They are not.
    #[default]
    Required,
    /// They are.
    Optional,
}

impl Choice for ClientAuth {
    const NAMES: &'static [(&'static str, Self)] = &[("required", Self::Required), ("optional", Self::Optional)];
}

/// TLS on a port. Without a certificate it speaks none.
#[derive(Debug, Clone, Default)]
pub(crate) struct PortTls {
    /// The certificates, each with those above it.
    pub(crate) cert: Paths,
    /// Their keys, in the same order.
    pub(crate) key: Paths,
    /// The oldest version that is spoken.
    pub(crate) min_version: LeastVersion,
    /// The authorities of clients' certificates; empty asks for none.
    pub(crate) client_ca: String,
    /// Whether every client must have one.
    pub(crate) client_auth: ClientAuth,
}

impl PortTls {
    /// Shows the settings; `group` is what their keys begin with.
    pub(super) fn visit(&mut self, group: &str, visitor: &mut impl Visitor) {
        visitor.setting(&format!("{group}.cert"), &mut self.cert, any);
        visitor.setting(&format!("{group}.key"), &mut self.key, any);
        visitor.setting(&format!("{group}.min_version"), &mut self.min_version, any);
        visitor.setting(&format!("{group}.client_ca"), &mut self.client_ca, any);
        visitor.setting(&format!("{group}.client_auth"), &mut self.client_auth, any);
    }

    /// What a node is told; `None` for no TLS.
    pub(crate) fn files(&self) -> Option<ServerFiles> {
        let pair = |(cert, key): (&String, &String)| Pair { cert: cert.into(), key: key.into() };
        let pairs: Vec<_> = self.cert.0.iter().zip(&self.key.0).map(pair).collect();
        let ca = PathBuf::from(&self.client_ca);
        let clients = match self.client_auth {
            _ if self.client_ca.is_empty() => Clients::Anyone,
            ClientAuth::Optional => Clients::Optional(ca),
            ClientAuth::Required => Clients::Required(ca),
        };
        (!pairs.is_empty()).then_some(ServerFiles { pairs, least_version: self.min_version, clients })
    }

    /// What is wrong with the settings together: at most one thing, for the others may follow from it.
    pub(super) fn broken(&self, group: &str, effective: &Effective) -> Option<Problem> {
        let (name, wrong) = self.misfit(group)?;
        problem(group, name, wrong, effective)
    }

    fn misfit(&self, group: &str) -> Option<(&'static str, String)> {
        let (certs, keys) = (self.cert.0.len(), self.key.0.len());
        let useless = || format!("has no use without {group}.cert");
        match self {
            _ if certs > keys => {
                Some(("cert", format!("has {certs} certificates for {keys} keys in {group}.key; each needs its own")))
            }
            _ if certs == 0 && keys > 0 => Some(("key", useless())),
            _ if certs < keys => {
                Some(("key", format!("has {keys} keys for {certs} certificates in {group}.cert; each belongs to one")))
            }
            Self { min_version: LeastVersion::Tls13, .. } if certs == 0 => Some(("min_version", useless())),
            Self { client_ca, .. } if certs == 0 && !client_ca.is_empty() => Some(("client_ca", useless())),
            Self { client_auth: ClientAuth::Optional, client_ca, .. } if client_ca.is_empty() => {
                Some(("client_auth", format!("has no use without {group}.client_ca")))
            }
            _ => None,
        }
    }

    /// Reads its `files` as a node would, or says which setting names what can't be used.
    pub(super) fn load(&self, group: &str, files: &ServerFiles, effective: &Effective) -> Result<ServerSide, Problem> {
        files.load(SystemTime::now()).map_err(|invalid| {
            let wrong = invalid.to_string();
            problem(group, self.blamed(&invalid), wrong, effective).unwrap_or_else(|| Problem::other(&invalid))
        })
    }

    fn blamed(&self, invalid: &InvalidTls) -> &'static str {
        match invalid {
            InvalidTls::File { path, .. } if self.key.0.contains(path) => "key",
            InvalidTls::File { path, .. } if self.client_ca == *path => "client_ca",
            _ => "cert",
        }
    }
}

fn problem(group: &str, name: &str, wrong: String, effective: &Effective) -> Option<Problem> {
    let key = format!("{group}.{name}");
    let (literal, origin) = effective.get(&key)?;
    Some(Problem::value(&key, literal, origin, wrong))
}
