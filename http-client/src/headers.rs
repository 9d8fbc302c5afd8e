//! Headers between own services. None of them is ever sent to a foreign server.

use http::HeaderName;

/// `Nakku-Service-Token`: the caller is one of our services.
pub const SERVICE_TOKEN: HeaderName = HeaderName::from_static("nakku-service-token");
/// `Nakku-Timeout-Ms`: how long the caller still waits.
pub const TIMEOUT_MS: HeaderName = HeaderName::from_static("nakku-timeout-ms");
/// `Nakku-Hops`: how many of our services the request came through; only the first of them repeats it.
pub const HOPS: HeaderName = HeaderName::from_static("nakku-hops");

/// All of them.
pub(crate) const OWN: [HeaderName; 3] = [SERVICE_TOKEN, TIMEOUT_MS, HOPS];
