//! What a certificate says of itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::SystemTime,
};
use x509_cert::{
    Certificate,
    der::{self, Decode},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The host names and IP addresses that it is for, in its order.
    pub names: Vec<String>,
    /// When it ends.
    pub expires: SystemTime,
    /// Whether it is its own authority, so that who trusts it needs nothing else.
    pub self_signed: bool,
}

impl Facts {
    /// Reads a certificate in DER.
    pub fn read(der: &[u8]) -> der::Result<Self> {
        let certificate = Certificate::from_der(der)?;
        let certificate = certificate.tbs_certificate();
        let names = certificate.get_extension::<SubjectAltName>()?;
        let names = names.iter().flat_map(|(_, names)| &names.0).filter_map(name).collect();
        Ok(Self {
            names,
            expires: certificate.validity().not_after.to_system_time(),
            self_signed: certificate.issuer() == certificate.subject(),
        })
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into());
    let sixteen = || <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into());
    four().or_else(sixteen)
}
