//! HTTP requests to services that a node is told of: every wait and every answer has a bound, and no redirect is followed.
//!
//! It knows nothing of what is asked or answered.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`url`] | where a service is, and how its secrets are kept out of sight |
//! | [`client`] | from a request to its answer |
//! | `error` | why there is none |

pub mod client;
mod error;
pub mod url;

pub use client::{Bounds, Client};
pub use error::FetchError;
pub use url::{InvalidUrl, ServiceUrl};
