//! Names the reasons why a forward proxy gave no connection to TikTok Shop, and says what an operator can do about each
//! reason.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime_wasi_http::Error;

/// The proxy gave no connection to TikTok Shop. Nothing was sent to TikTok Shop: no code, no token and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the proxy {proxy} {failure}")]
pub struct ProxyError {
    proxy: Arc<str>,
    failure: ProxyFailure,
}

impl ProxyError {
    pub(super) fn new(proxy: Arc<str>, failure: ProxyFailure) -> Self {
        Self { proxy, failure }
    }

    /// Returns the address of the proxy, without credentials.
    #[must_use]
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// Returns the reason why the proxy gave no connection.
    #[must_use]
    pub fn failure(&self) -> ProxyFailure {
        self.failure
    }
}

/// The reason why the proxy gave no connection. Each error text continues a sentence that begins with the address of
/// the proxy, and tells an operator what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// The proxy's name has no address, or could not be resolved in time.
    #[error("has a name that can't be resolved; correct the name or the name resolution of this machine")]
    NotResolved,
    /// No program listens at the proxy's address.
    #[error("refuses connections; start it, or correct its address")]
    Refused,
    /// The network does not lead to the proxy.
    #[error("can't be reached; correct its address, or the routes and the firewall of this machine")]
    Unreachable,
    /// The proxy did not accept a connection in time.
    #[error("did not accept a connection in time; correct its address, or the firewall on the way to it")]
    ConnectTimeout,
    /// The host did not accept the proxy's own certificate. Only for a proxy whose address begins with `https://`.
    #[error("shows a certificate that is not trusted or is of another name; name its certificate authority")]
    Certificate,
    /// TLS to the proxy failed. Only for a proxy whose address begins with `https://`.
    #[error("does not speak TLS at this port; write its address with http://, or correct the port")]
    Tls,
    /// The proxy did not answer `CONNECT` in time, or the TLS handshake with the proxy did not end in time.
    #[error("did not answer in time; it may be overloaded, or may not reach TikTok Shop")]
    AnswerTimeout,
    /// The proxy closed the connection before it answered `CONNECT`.
    #[error("closed the connection without an answer; read its log")]
    Closed,
    /// The answer to `CONNECT` is not HTTP, or the proxy sent further bytes directly after this answer.
    #[error("does not speak HTTP; correct its address, which must be the address of an HTTP proxy")]
    NotHttp,
    /// The head of the answer to `CONNECT` is too long.
    #[error("sent an answer with a head of more than 16 KiB; read its log")]
    HeadTooLarge,
    /// The proxy asked for credentials, and none are configured: HTTP 407, or 401 from some proxies.
    #[error("asks for credentials (HTTP {0}); configure a user and a password for it")]
    CredentialsMissing(u16),
    /// The proxy did not accept the configured credentials: HTTP 407, or 401 from tinyproxy.
    #[error("does not accept the configured user and password (HTTP {0}); correct them")]
    CredentialsRefused(u16),
    /// The proxy's rules forbid the connection: HTTP 403.
    #[error(
        "forbids the connection (HTTP 403); allow CONNECT there to auth.tiktok-shops.com:443 and \
         open-api.tiktokglobalshop.com:443"
    )]
    Forbidden,
    /// The proxy did not reach TikTok Shop: HTTP 500 (tinyproxy), 502, 503 or 504.
    #[error("could not connect to TikTok Shop (HTTP {0}); check the proxy's name resolution and its way out")]
    NoConnection(u16),
    /// The proxy answered with another status.
    #[error("refused to open a tunnel (HTTP {0}); read its log")]
    OtherStatus(u16),
    /// The proxy opened a tunnel, but the TLS handshake with TikTok Shop inside the tunnel failed or did not end in
    /// time.
    #[error("opened a tunnel in which TikTok Shop does not answer; check the proxy's way out")]
    TunnelBroken,
    /// The proxy opened a tunnel, but the server at the end of the tunnel did not prove that it is TikTok Shop.
    #[error(
        "opened a tunnel to a server that does not prove to be TikTok Shop; exempt TikTok Shop's two hosts from its \
         inspection of TLS"
    )]
    TunnelNotTikTokShop,
}

impl ProxyFailure {
    pub(super) fn of_status(status: u16, credentials: Credentials) -> Self {
        match (status, credentials) {
            (401 | 407, Credentials::Sent) => Self::CredentialsRefused(status),
            (401 | 407, Credentials::None) => Self::CredentialsMissing(status),
            (403, _) => Self::Forbidden,
            (500 | 502..=504, _) => Self::NoConnection(status),
            (_, _) => Self::OtherStatus(status),
        }
    }
}

/// Whether the host sent credentials to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials {
    Sent,
    None,
}

impl From<ProxyFailure> for Error {
    /// Converts a failure into an error that tells the guest that nothing was sent. The guest then tells its caller to
    /// repeat the call later, even if an operator must first correct something. So after an operator has corrected the
    /// proxy's password, a consent can still be finished, and the next sweep repeats a refresh that failed.
    fn from(failure: ProxyFailure) -> Self {
        match failure {
            ProxyFailure::Refused => Self::ConnectionRefused,
            ProxyFailure::Certificate | ProxyFailure::TunnelNotTikTokShop => Self::TlsCertificateError,
            ProxyFailure::NotResolved
            | ProxyFailure::Unreachable
            | ProxyFailure::ConnectTimeout
            | ProxyFailure::AnswerTimeout
            | ProxyFailure::Tls
            | ProxyFailure::Closed
            | ProxyFailure::NotHttp
            | ProxyFailure::HeadTooLarge
            | ProxyFailure::CredentialsMissing(_)
            | ProxyFailure::CredentialsRefused(_)
            | ProxyFailure::Forbidden
            | ProxyFailure::NoConnection(_)
            | ProxyFailure::OtherStatus(_)
            | ProxyFailure::TunnelBroken => Self::DestinationUnavailable,
        }
    }
}

/// The error of the proxy in the latest request of a call. The guest gets only an error code. So the host keeps the
/// error of the proxy, and adds it to the error that the guest returns.
#[derive(Clone, Default)]
pub(crate) struct LastProxyError(Arc<Mutex<Option<ProxyError>>>);

impl LastProxyError {
    /// Records the error of the proxy in the latest request. `None` if the proxy did not make this request fail.
    pub(crate) fn record(&self, error: Option<ProxyError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    pub(crate) fn get(&self) -> Option<ProxyError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
