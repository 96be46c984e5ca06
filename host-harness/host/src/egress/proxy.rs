//! The address and the credentials of a forward proxy.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use rustls::RootCertStore;
use zeroize::Zeroizing;

use crate::certificates::CertificateAuthorities;
use crate::secret::Secret;

/// A forward proxy that opens tunnels with HTTP `CONNECT`. See [`EgressPolicy::proxy`](super::EgressPolicy::proxy).
///
/// The address of a proxy is `http://HOST:PORT` or `https://HOST:PORT`. With `https`, the host uses TLS to the proxy.
/// In both cases, TLS to TikTok Shop runs inside the tunnel. The address may contain credentials, as in
/// `http://USER:PASSWORD@HOST:PORT`. Such an address is a secret. In credentials, percent-encode the characters that
/// have a meaning in an address, for example `@` as `%40`. `Display` and `Debug` show the address without the
/// credentials.
///
/// ```
/// use tiktok_shop_host::Secret;
/// use tiktok_shop_host::egress::{EgressPolicy, Proxy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let password = Secret::from("from your secrets");
/// let proxy = "http://proxy.internal:3128".parse::<Proxy>()?.credentials("connector", &password)?;
/// let egress = EgressPolicy::production().proxy(proxy);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Proxy {
    pub(super) transport: Transport,
    /// A name or an IP address. An IPv6 address has no brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of the header `proxy-authorization`.
    pub(super) authorization: Option<Secret>,
    /// The certificate authorities for TLS to the proxy. `None` means Mozilla's certificate authorities.
    pub(super) roots: Option<RootCertStore>,
}

/// How the host speaks to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
}

/// The reason why the address or another setting of a proxy is invalid. The error texts repeat no part of the address,
/// because the address may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxy {
    /// The text is not an address.
    #[error("not the address of a proxy; write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")]
    Address,
    /// The scheme of the address is neither `http` nor `https`.
    #[error("the address of a proxy begins with http:// or https://; SOCKS proxies can't be used")]
    Scheme,
    /// The address has no port.
    #[error("the address of the proxy has no port; name it, as in http://HOST:3128")]
    Port,
    /// A percent sign in the credentials does not begin an encoded byte, or the decoded credentials are not UTF-8.
    #[error("the credentials of the proxy are not percent-encoded; write % as %25 and @ as %40")]
    Encoding,
    /// The user is empty or contains a colon, or the user or the password contains a control character.
    #[error("the proxy's user is empty or contains a colon, or user or password contain a control character")]
    Credentials,
    /// There is no certificate in the PEM text, or one of the certificates is malformed.
    #[error("no certificate authority in PEM for the proxy; the text has lines -----BEGIN CERTIFICATE-----")]
    Certificates,
    /// The address begins with `http://`, so certificate authorities would have no effect.
    #[error("certificate authorities of a proxy need an address that begins with https://")]
    CertificatesWithoutTls,
}

impl FromStr for Proxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(InvalidProxy::Address);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidProxy::Address)?;
        let transport = match scheme.to_ascii_lowercase().as_str() {
            "http" => Transport::Plain,
            "https" => Transport::Tls,
            _ => return Err(InvalidProxy::Scheme),
        };
        // The credentials end at the last @, so a password may contain an @ that is not percent-encoded.
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let authority: http::uri::Authority = place.parse().map_err(|_| InvalidProxy::Address)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(InvalidProxy::Address);
        }
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()).filter(|port| *port != 0).ok_or(InvalidProxy::Address)?,
            // `port` also returns `None` for a port that is not a number. The port is missing only if the address
            // consists of the host alone.
            None if authority.as_str() == authority.host() => return Err(InvalidProxy::Port),
            None => return Err(InvalidProxy::Address),
        };
        let proxy = Self { transport, host, port, authorization: None, roots: None };
        let Some(credentials) = credentials else { return Ok(proxy) };
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (user, password) = (decoded(user)?, decoded(password)?);
        proxy.credentials(&user, &Secret::from(password.as_str()))
    }
}

impl Proxy {
    /// Sends these credentials to the proxy, with the scheme `Basic`. These credentials replace credentials in the
    /// address. If the address begins with `http://`, the credentials are sent to the proxy without encryption.
    ///
    /// # Errors
    /// [`InvalidProxy::Credentials`].
    pub fn credentials(mut self, user: &str, password: &Secret) -> Result<Self, InvalidProxy> {
        let has_control = |text: &str| text.contains(char::is_control);
        if user.is_empty() || user.contains(':') || has_control(user) || has_control(password.expose()) {
            return Err(InvalidProxy::Credentials);
        }
        let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
        let coded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        self.authorization = Some(Secret::from(format!("Basic {}", coded.as_str())));
        Ok(self)
    }

    /// Trusts only these certificate authorities, in PEM, for TLS to the proxy. Without this call, the host trusts
    /// Mozilla's authorities. For the certificates of TikTok Shop, the host trusts Mozilla's authorities only, as
    /// always.
    ///
    /// # Errors
    /// [`InvalidProxy::Certificates`], or [`InvalidProxy::CertificatesWithoutTls`] if the address begins with
    /// `http://`.
    pub fn certificate_authorities(mut self, pem: &[u8]) -> Result<Self, InvalidProxy> {
        if self.transport == Transport::Plain {
            return Err(InvalidProxy::CertificatesWithoutTls);
        }
        let authorities = CertificateAuthorities::from_pem(pem).map_err(|_| InvalidProxy::Certificates)?;
        self.roots = Some(authorities.roots().clone());
        Ok(self)
    }
}

/// Decodes a percent-encoded part of an address.
fn decoded(text: &str) -> Result<Zeroizing<String>, InvalidProxy> {
    let is_encoded = |rest: &str| rest.as_bytes().get(..2).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(is_encoded) {
        return Err(InvalidProxy::Encoding);
    }
    let text = percent_decode_str(text).decode_utf8().map_err(|_| InvalidProxy::Encoding)?;
    Ok(Zeroizing::new(text.into_owned()))
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "http",
            Transport::Tls => "https",
        };
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_credentials() {
        for (text, shown, authorization) in [
            ("http://proxy.internal:3128", "http://proxy.internal:3128", None),
            ("HTTP://10.0.0.1:80/", "http://10.0.0.1:80", None),
            ("https://[fd00::1]:443", "https://[fd00::1]:443", None),
            // The three header values were computed with Python's base64.
            ("http://user:pass@proxy:1", "http://proxy:1", Some("Basic dXNlcjpwYXNz")),
            ("http://user@proxy:1", "http://proxy:1", Some("Basic dXNlcjo=")),
            ("https://us%40er:p%3A%2F%25:@s@proxy:1", "https://proxy:1", Some("Basic dXNAZXI6cDovJTpAcw==")),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
            assert_eq!(proxy.authorization.as_ref().map(Secret::expose), authorization, "{text}");
        }
    }

    #[test]
    fn credentials_that_are_not_in_the_address_need_no_encoding() {
        let password = Secret::from("p%4@ss: ü");
        let proxy = "http://proxy:1".parse::<Proxy>().unwrap().credentials("user", &password).unwrap();
        // The expected value was computed with Python's base64.
        assert_eq!(proxy.authorization.unwrap().expose(), "Basic dXNlcjpwJTRAc3M6IMO8");
    }

    #[test]
    fn an_error_says_what_is_wrong_and_repeats_nothing() {
        for (text, error) in [
            ("", InvalidProxy::Address),
            ("proxy:3128", InvalidProxy::Address),
            ("http://", InvalidProxy::Address),
            ("http://:3128", InvalidProxy::Address),
            ("http://CANARY:0", InvalidProxy::Address),
            ("http://CANARY:65536", InvalidProxy::Address),
            ("http://CANARY:3128/path", InvalidProxy::Address),
            ("http://CANARY:3128?query", InvalidProxy::Address),
            ("http://CANARY:3128#fragment", InvalidProxy::Address),
            ("http://CANARY:3128\n", InvalidProxy::Address),
            (" http://CANARY:3128", InvalidProxy::Address),
            ("socks5://CANARY:1080", InvalidProxy::Scheme),
            ("http://CANARY", InvalidProxy::Port),
            ("http://user:CANARY@proxy", InvalidProxy::Port),
            ("http://user:CANARY%@proxy:1", InvalidProxy::Encoding),
            ("http://user:CANARY%4@proxy:1", InvalidProxy::Encoding),
            ("http://user:CANARY%zz@proxy:1", InvalidProxy::Encoding),
            ("http://user:CANARY%ff@proxy:1", InvalidProxy::Encoding),
            ("http://:CANARY@proxy:1", InvalidProxy::Credentials),
            ("http://us%3Aer:CANARY@proxy:1", InvalidProxy::Credentials),
            ("http://user:CANARY%0A@proxy:1", InvalidProxy::Credentials),
        ] {
            let refused = text.parse::<Proxy>().unwrap_err();
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains("CANARY"), "{refused}");
        }
    }

    fn pem(label: &str, content: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(content))
    }

    #[test]
    fn certificate_authorities_must_be_readable_and_need_tls() {
        let https = || "https://proxy:1".parse::<Proxy>().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let pem_of_key = pem("PRIVATE KEY", &key.serialize_der());
        let pem = pem("CERTIFICATE", certificate.der());
        let twice = format!("{pem}{pem}");
        assert_eq!(https().certificate_authorities(twice.as_bytes()).unwrap().roots.unwrap().len(), 2);
        let cut = pem.replace("-----END CERTIFICATE-----", "");
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no certificate", &pem_of_key, &cut, damaged] {
            let error = https().certificate_authorities(text.as_bytes()).unwrap_err();
            assert_eq!(error, InvalidProxy::Certificates, "{text}");
        }
        let plain = "http://proxy:1".parse::<Proxy>().unwrap().certificate_authorities(pem.as_bytes());
        assert_eq!(plain.unwrap_err(), InvalidProxy::CertificatesWithoutTls);
    }
}
