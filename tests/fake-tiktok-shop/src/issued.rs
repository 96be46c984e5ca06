//! Reports about issued codes, tokens and ciphers, for tests.

use std::fmt;

use serde::Serialize;

/// The tokens that the fake has issued to one app for one seller, oldest first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Issued {
    /// The seller's `open_id` for the app. `None` if no code was exchanged yet.
    pub open_id: Option<String>,
    /// Every access token.
    pub access_tokens: Vec<IssuedToken>,
    /// Every refresh token.
    pub refresh_tokens: Vec<IssuedToken>,
}

impl Issued {
    /// Tells whether `token` is an access token that a call could use now.
    pub fn honours_access_token(&self, token: &str) -> bool {
        self.access_tokens.iter().any(|issued| issued.honoured && issued.token == token)
    }

    /// Tells whether `token` is a refresh token that a refresh could use now.
    pub fn honours_refresh_token(&self, token: &str) -> bool {
        self.refresh_tokens.iter().any(|issued| issued.honoured && issued.token == token)
    }
}

/// The kind of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// An access token. Calls send it as `x-tts-access-token`.
    AccessToken,
    /// An authorization code. An exchange sends it as `auth_code`.
    AuthorizationCode,
    /// A refresh token. A refresh sends it as `refresh_token`.
    RefreshToken,
    /// A shop cipher. Calls for one shop send it as `shop_cipher`.
    ShopCipher,
}

/// A secret that was handed out. It may be unused, used or invalid.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedSecret {
    /// The kind of the secret.
    pub kind: SecretKind,
    /// The app to which the secret was handed out.
    pub service_id: String,
    /// The secret itself.
    pub value: String,
}

impl IssuedSecret {
    pub(crate) fn new(kind: SecretKind, service_id: &str, value: &str) -> Self {
        Self { kind, service_id: service_id.to_owned(), value: value.to_owned() }
    }
}

impl fmt::Debug for IssuedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedSecret")
            .field("kind", &self.kind)
            .field("service_id", &self.service_id)
            .field("value", &"[redacted]")
            .finish()
    }
}

/// The access token and the refresh token that the token host hands out in one answer.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IssuedPair {
    /// The access token.
    pub access_token: String,
    /// The refresh token. This field contains the token even if a switch left it out of the answer.
    pub refresh_token: String,
}

impl fmt::Debug for IssuedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedPair").finish_non_exhaustive()
    }
}

/// A token that the fake has issued.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedToken {
    /// The token itself.
    pub token: String,
    /// The time of issue, in Unix seconds of the fake's clock.
    pub issued_at: u64,
    /// The time when the token expires, in Unix seconds of the fake's clock.
    pub expires_at: u64,
    /// Whether the token would be accepted now, at the present time and with the present switches.
    pub honoured: bool,
}

impl IssuedToken {
    pub(crate) fn new(token: &str, issued_at: u64, expires_at: u64, honoured: bool) -> Self {
        Self { token: token.to_owned(), issued_at, expires_at, honoured }
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("token", &"[redacted]")
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .field("honoured", &self.honoured)
            .finish()
    }
}
