//! TLS to Redis: what its failures are called here.

use fanwire_tls::reason::Hints;

/// What helps where TLS to Redis fails.
pub(super) const HINTS: Hints =
    Hints { ca: "redis.tls.ca names", cert: "redis.tls.cert and redis.tls.key name", plain: "redis://" };
