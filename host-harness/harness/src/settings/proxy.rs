//! The forward proxy through which a command reaches TikTok Shop: from the environment, or from the configuration file.
//! No option names it, because its address may contain a password.

use std::path::{Path, PathBuf};

use tiktok_shop_host::egress::{InvalidProxy, Proxy};
use tiktok_shop_private_file as private_file;

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

/// The proxy that the settings name. The file of its certificate authorities has not been read.
pub(crate) struct NamedProxy {
    proxy: Proxy,
    certificates: Option<PathBuf>,
}

impl ProxySettings {
    /// Combines these settings with the environment, and returns the proxy. `None` if no proxy is configured. Reads no
    /// file. `config` is the path of the configuration file, for error texts.
    ///
    /// # Errors
    /// A variable is malformed, or the certificate authorities would have no effect.
    pub(crate) fn with_environment(self, config: &Path) -> Result<Option<NamedProxy>, Failure> {
        let proxy = match variable(PROXY)? {
            Some(text) => Some(text.parse::<Proxy>().map_err(|error| Failure::Malformed(format!("{PROXY}: {error}")))?),
            None => self.proxy,
        };
        let of_variable = variable(PROXY_CERTIFICATES)?.map(PathBuf::from);
        match (proxy, of_variable, self.certificates) {
            (Some(proxy), of_variable, configured) => {
                Ok(Some(NamedProxy { proxy, certificates: of_variable.or(configured) }))
            }
            (None, None, None) => Ok(None),
            (None, Some(_), _) => Err(Failure::Malformed(format!(
                "{PROXY_CERTIFICATES}: there is no proxy that these certificate authorities could belong to; set \
                 {PROXY}, or unset this variable"
            ))),
            (None, None, Some(_)) => Err(Failure::Malformed(format!(
                "configuration {}: egress.proxy-certificates: there is no proxy that these certificate authorities \
                 could belong to; add egress.proxy, or remove this member",
                config.display()
            ))),
        }
    }
}

impl NamedProxy {
    /// Returns the proxy for a command that sends requests: reads the certificate authorities.
    ///
    /// # Errors
    /// The file can't be read, or it contains no certificate authority, or the proxy needs none.
    pub(crate) fn with_authorities(self) -> Result<Proxy, Failure> {
        match self.certificates {
            Some(path) => trusting(self.proxy, &path),
            None => Ok(self.proxy),
        }
    }

    /// Returns the proxy for a command that sends no request. If the command did send one, the proxy would still be
    /// used, and its certificate would be refused.
    pub(crate) fn without_authorities(self) -> Proxy {
        self.proxy
    }
}

/// Makes the program accept a certificate of the proxy that an authority in this file has issued.
fn trusting(proxy: Proxy, path: &Path) -> Result<Proxy, Failure> {
    let pem = private_file::read_regular(path, MAX_BYTES)
        .map_err(|error| Failure::Unavailable(format!("certificates of the proxy: {error}")))?;
    proxy.certificate_authorities(&pem).map_err(|error| {
        let text = format!("certificates of the proxy: {}: {error}", path.display());
        if error == InvalidProxy::Certificates { Failure::Unavailable(text) } else { Failure::Malformed(text) }
    })
}
