//! The forward proxy through which a command reaches TikTok Shop: from the environment, or from the configuration file.
//! No option names it, because its address may contain a password.

use std::path::{Path, PathBuf};

use tiktok_shop_host::egress::{InvalidProxy, Proxy};

use super::environment::{PROXY, PROXY_CERTIFICATES, variable};
use crate::failure::Failure;

/// The largest file of certificate authorities: 1 MiB.
const MAX_BYTES: u64 = 1 << 20;

/// The settings of the proxy in the configuration file. Each of them may be missing.
#[derive(Default)]
pub(crate) struct ProxySettings {
    pub(crate) proxy: Option<Proxy>,
    pub(crate) certificates: Option<PathBuf>,
}

impl ProxySettings {
    /// Combines these settings with the environment, and returns the proxy. `None` if no proxy is configured.
    ///
    /// # Errors
    /// A variable is malformed, the certificate authorities can't be read, or they would have no effect.
    pub(crate) fn with_environment(self) -> Result<Option<Proxy>, Failure> {
        let proxy = match variable(PROXY)? {
            Some(text) => Some(text.parse::<Proxy>().map_err(|error| Failure::Malformed(format!("{PROXY}: {error}")))?),
            None => self.proxy,
        };
        let certificates = variable(PROXY_CERTIFICATES)?.map(PathBuf::from).or(self.certificates);
        match (proxy, certificates) {
            (proxy, None) => Ok(proxy),
            (Some(proxy), Some(path)) => trusting(proxy, &path).map(Some),
            (None, Some(path)) => Err(Failure::Malformed(format!(
                "certificate authorities of a proxy are given ({}), but no proxy; name it with {PROXY}, or as \
                 egress.proxy in the configuration file",
                path.display()
            ))),
        }
    }
}

/// Makes the program accept a certificate of the proxy that an authority in this file has issued.
fn trusting(proxy: Proxy, path: &Path) -> Result<Proxy, Failure> {
    let unreadable =
        |what: String| Failure::Unavailable(format!("certificates of the proxy: {}: {what}", path.display()));
    let length = path.metadata().map_err(|error| unreadable(error.to_string()))?.len();
    if length > MAX_BYTES {
        return Err(unreadable(format!("longer than {MAX_BYTES} bytes")));
    }
    let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    proxy.certificate_authorities(&pem).map_err(|error| {
        if error == InvalidProxy::Certificates {
            return unreadable(error.to_string());
        }
        Failure::Malformed(format!("certificates of the proxy: {}: {error}", path.display()))
    })
}
