//! The way to a node.

use crate::{args::EndpointArgs, failure::Failure};
use fanwire_client::{Client, Events, Options};

/// Connects to the node of `args`; `options` say all but the encoding and the certificates.
pub(crate) async fn connect(args: &EndpointArgs, options: Options) -> Result<(Client, Events), Failure> {
    let options = Options { encoding: args.encoding.into(), tls: args.tls.files(), ..options };
    Client::connect(&args.url, options).await.map_err(Failure::NotConnected)
}
