//! Certificates and keys for both ends of TLS: what files hold, whether it can be used, and what went wrong in words.
//!
//! It knows no sockets and no configuration: whoever names files gets what rustls wants, or a reason.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `pem` | files in PEM |
//! | [`secret_file`] | files with secrets |
//! | `facts` | what a certificate says of itself |
//! | [`client`] | the end that connects: whom it trusts, and the certificate that it shows |
//! | [`server`] | the end that is connected to: its certificates by name, versions, whose clients it takes |
//! | `by_name` | which certificate a client gets |
//! | [`reason`] | why a handshake failed, for whoever configured the end that connects |

mod by_name;
pub mod client;
mod facts;
mod invalid;
mod pem;
pub mod reason;
pub mod secret_file;
pub mod server;

pub use client::ClientFiles;
pub use facts::Facts;
pub use invalid::InvalidTls;
pub use server::{Clients, LeastVersion, Pair, ServerFiles, ServerSide};
