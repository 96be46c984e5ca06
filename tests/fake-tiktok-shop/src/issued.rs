//! What tests are told about issued tokens.

use std::fmt;

use serde::Serialize;

/// What the fake has issued to one app for one seller, oldest first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Issued {
    /// The seller's identity towards the app, once a code was exchanged.
    pub open_id: Option<String>,
    /// Every access token.
    pub access_tokens: Vec<IssuedToken>,
    /// Every refresh token.
    pub refresh_tokens: Vec<IssuedToken>,
}

impl Issued {
    /// Whether `token` is an access token that a call made now would be let in with.
    pub fn honours_access_token(&self, token: &str) -> bool {
        self.access_tokens.iter().any(|issued| issued.honoured && issued.token == token)
    }

    /// Whether `token` is a refresh token that a refresh made now would accept.
    pub fn honours_refresh_token(&self, token: &str) -> bool {
        self.refresh_tokens.iter().any(|issued| issued.honoured && issued.token == token)
    }
}

/// What kind of secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// The `x-tts-access-token` of calls.
    AccessToken,
    /// The `auth_code` of an exchange.
    AuthorizationCode,
    /// The `refresh_token` of a refresh.
    RefreshToken,
    /// The `shop_cipher` of calls for one shop.
    ShopCipher,
}

/// A secret that was handed out, in use or not.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedSecret {
    /// What it is.
    pub kind: SecretKind,
    /// The app it was handed out to.
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

/// The tokens that one answer of the token host hands out.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IssuedPair {
    /// The access token.
    pub access_token: String,
    /// The refresh token that goes with it, also where a switch left it out of the answer.
    pub refresh_token: String,
}

impl fmt::Debug for IssuedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedPair").finish_non_exhaustive()
    }
}

/// One token the fake has issued.
#[derive(Clone)]
#[non_exhaustive]
pub struct IssuedToken {
    /// The token itself.
    pub token: String,
    /// Unix seconds of the fake's clock.
    pub issued_at: u64,
    /// Unix seconds of the fake's clock.
    pub expires_at: u64,
    /// Whether it would be accepted now, by the present time and switches.
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
