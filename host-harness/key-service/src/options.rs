//! The settings of a key service.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Auth;

/// The prefix of the names of keys if the settings name none.
pub const DEFAULT_PREFIX: &str = "tiktok-shop";

/// The settings of a key service: its address, the authentication of the host, and the names of the keys.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The address of the service, for example `https://bao.internal:8200`. It must be https. Only an address of
    /// loopback (127.0.0.1, ::1 or localhost) may be http.
    pub address: String,
    /// How the host authenticates.
    pub auth: Auth,
    /// The path at which the transit engine is mounted. Default: `transit`.
    pub mount: String,
    /// The first part of the name of each key. The name consists of the prefix, a dot and the tenant. Give each
    /// database a prefix of its own. A prefix consists of 1 to 64 letters, digits, `-` and `_`, and does not begin with
    /// `-`. Default: `tiktok-shop`.
    pub prefix: String,
    /// The namespace that the host uses in the service, if the service has namespaces.
    pub namespace: Option<String>,
    /// A PEM file with the certificate authorities that may sign the certificate of the service. Without a file,
    /// Mozilla's certificate authorities apply, which are compiled in.
    pub ca_file: Option<PathBuf>,
    /// How long one attempt of a request may take. Default: 3 s.
    pub attempt_timeout: Duration,
    /// How long wrapping or unwrapping may take, with all its requests and attempts. Default: 8 s. This default is
    /// shorter than the 10 s that the storage of a host has for each read and save.
    pub timeout: Duration,
}

impl Options {
    /// Creates options with the default values.
    #[must_use]
    pub fn new(address: impl Into<String>, auth: Auth) -> Self {
        Self {
            address: address.into(),
            auth,
            mount: "transit".to_owned(),
            prefix: DEFAULT_PREFIX.to_owned(),
            namespace: None,
            ca_file: None,
            attempt_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(8),
        }
    }
}
