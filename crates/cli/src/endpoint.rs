//! The way to a node.

use crate::{
    args::EndpointArgs,
    config::{Environment, TOKEN},
    failure::Failure,
};
use fanwire_client::{Client, Events, Options, Token};
use std::ffi::OsStr;

/// Connects to the node of `args`, with the token of `environment` unless `args` have one; `options` say the rest.
pub(crate) async fn connect(
    args: &EndpointArgs,
    environment: &Environment,
    options: Options,
) -> Result<(Client, Events), Failure> {
    let variable = environment.get(OsStr::new(TOKEN)).and_then(|token| token.to_str());
    let token = args.token.as_deref().or(variable).filter(|token| !token.is_empty()).map(Token::new);
    let options = Options { encoding: args.encoding.into(), tls: args.tls.files(), token, ..options };
    Client::connect(&args.url, options).await.map_err(Failure::NotConnected)
}
