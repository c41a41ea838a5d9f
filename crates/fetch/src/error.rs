//! Why a request has no answer.

use fanwire_tls::reason::Hints;
use hyper_util::client::legacy;
use std::{io, time::Duration};
use thiserror::Error;
use tokio_rustls::rustls;

/// Why a request has no answer that can be used. Nothing in it repeats the URL or the answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FetchError {
    /// No connection came about, or no TLS on it.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no whole answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The answer can't be read, or was cut off.
    #[error("the answer is no HTTP or was cut off: {0}")]
    Broken(String),
    /// It is longer than so many bytes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// It says to ask elsewhere, which nobody does: whoever may send on may send anywhere.
    #[error("answered with {0}, which sends elsewhere; expected the address itself")]
    Redirect(u16),
    /// It is no 200.
    #[error("answered with {0}; expected 200")]
    Status(u16),
}

impl FetchError {
    /// Every value of [`Self::label`].
    pub const LABELS: [&str; 6] = ["unreachable", "timed_out", "broken", "too_large", "redirect", "status"];

    /// The value of the label `result` in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timed_out",
            Self::Broken(_) => "broken",
            Self::TooLarge(_) => "too_large",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
        }
    }

    /// Why a request was not answered.
    pub(crate) fn of(error: &legacy::Error, hints: &Hints) -> Self {
        if error.is_connect() { Self::Unreachable(reason(error, hints)) } else { Self::Broken(deepest(error)) }
    }
}

/// What was wrong with the connection: TLS, where that has a word for it.
fn reason(error: &legacy::Error, hints: &Hints) -> String {
    tls_error(error).map_or_else(|| deepest(error), |tls| hints.reason(tls))
}

fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    // What an I/O error wraps is not its source, but has that.
    let wrapped = error.downcast_ref::<io::Error>().and_then(|io| io.get_ref());
    let next = wrapped.map(|wrapped| wrapped as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    error.downcast_ref().or_else(|| tls_error(next?))
}

/// The first cause, which says most.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}
