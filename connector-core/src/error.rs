//! Causes (open, they grow) and the one total function from a cause to what the host should do (closed).

mod advice;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

pub use advice::Advice;

/// What the host should do next. Closed within a major version of the WIT package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A bug in the connector: report it.
    Internal,
    /// The caller's arguments are wrong.
    InvalidRequest,
    /// An operator must fix app key, secret, scope, clock or allow list.
    Misconfigured,
    /// A new consent of the seller is needed.
    Reauthorize,
    /// Call again with the same arguments, not before a delay.
    RetryAfter,
    /// Lost the swap race repeatedly; nothing was written. Call again.
    StorageConflict,
    /// A storage import failed: restore storage, then call again.
    StorageFailed,
    /// TikTok Shop refused, broke protocol, or nobody knows whether it acted. Show it, do not loop.
    Upstream,
}

macro_rules! causes {
    ($($name:ident, $code:literal, $action:ident, $sentence:literal;)*) => {
        /// What happened. Each has a code for counting and one action for the host.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Cause {
            $(#[doc = concat!("`", $code, "`: ", $sentence)] $name,)*
        }

        impl Cause {
            /// Every cause, by code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The documented code: kebab-case, never renamed, for counting and for support.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What the host should do about it.
            #[must_use]
            pub const fn action(self) -> Action {
                match self { $(Self::$name => Action::$action,)* }
            }

            /// One English sentence for a log.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

causes! {
    AccountChanged, "account-changed", Upstream, "TikTok answered a refresh with another account than the one that consented; the tokens were kept under the old key.";
    AccountIdInvalid, "account-id-invalid", InvalidRequest, "An account id has 1 to 256 bytes.";
    AccountRequired, "account-required", InvalidRequest, "The customer has several accounts: name one.";
    AnswerIncomplete, "answer-incomplete", RetryAfter, "The connection to TikTok broke or timed out before the answer was complete.";
    AnswerTooLarge, "answer-too-large", Upstream, "TikTok's answer is larger than this call accepts.";
    AnswerUnreadable, "answer-unreadable", RetryAfter, "The answer is not one of TikTok Shop's, perhaps a gateway's page.";
    AppKeyChanged, "app-key-changed", Misconfigured, "The connection belongs to another app key than the one configured now: restore the key, or ask the seller to consent to the new app.";
    AppRejected, "app-rejected", Misconfigured, "TikTok does not accept the app key or the app secret: compare both with Partner Center.";
    AuthorizationCodeSpent, "authorization-code-spent", Reauthorize, "TikTok does not accept the code (used before, older than 30 minutes, or of another app), or it was used and its tokens could not be stored.";
    AuthorizationExpired, "authorization-expired", Reauthorize, "The seller's authorization has ended.";
    AuthorizationLinkInvalid, "authorization-link-invalid", Misconfigured, "The authorization link must start with https:// and carry no state and no fragment: copy it from Partner Center.";
    AuthorizationLinkMissing, "authorization-link-missing", Misconfigured, "No authorization link is configured: copy it from Partner Center.";
    AuthorizationRevoked, "authorization-revoked", Reauthorize, "The seller has removed the app, or TikTok no longer knows the authorization.";
    BackingOff, "backing-off", RetryAfter, "The last attempts to renew failed, or the last renewal is minutes old; the next one is not due yet.";
    CallMalformed, "call-malformed", InvalidRequest, "This request can't be signed so that TikTok reads it as it is meant.";
    CallbackMalformed, "callback-malformed", InvalidRequest, "The callback's query is longer than 8192 bytes or repeats a parameter.";
    CallbackOfAnotherApp, "callback-of-another-app", InvalidRequest, "The callback names another app than the tenant's. No request was sent.";
    ClockSkewed, "clock-skewed", Misconfigured, "The host's clock is outside TikTok's window of 5 minutes back to 30 seconds ahead.";
    ConnectionRowNotSaved, "connection-row-not-saved", StorageFailed, "The tokens are stored, the connection's row is not: call refresh once storage works.";
    ConsentRefused, "consent-refused", Reauthorize, "The seller refused, or the callback carries no code.";
    CredentialsRefused, "credentials-refused", Misconfigured, "The host has no usable app credentials for this tenant.";
    CredentialsUnavailable, "credentials-unavailable", StorageFailed, "The host's app credentials could not be read.";
    CustomerIdInvalid, "customer-id-invalid", InvalidRequest, "A customer id has 1 to 256 bytes.";
    EgressDenied, "egress-denied", Misconfigured, "The host's egress refused the request: allow auth.tiktok-shops.com and open-api.tiktokglobalshop.com over https.";
    Internal, "internal", Internal, "A bug in the connector.";
    IpNotAllowed, "ip-not-allowed", Misconfigured, "TikTok refuses this address: add the host's outgoing address to the app's IP allow list.";
    MissingPermission, "missing-permission", Misconfigured, "The app or the seller's grant lacks a scope this call needs: add it in Partner Center, then ask the seller to consent again.";
    NotASeller, "not-a-seller", InvalidRequest, "The consent was given by a creator or partner, not by a seller. Nothing was stored.";
    NotConnected, "not-connected", InvalidRequest, "The customer has no such connection.";
    OutcomeUnknown, "outcome-unknown", Upstream, "The answer to a request that changes something was lost: find out whether TikTok acted before it is sent again.";
    RateLimited, "rate-limited", RetryAfter, "TikTok limits the rate of requests.";
    Redirected, "redirected", Upstream, "TikTok answered with a redirect, which is never followed.";
    RefreshInProgress, "refresh-in-progress", RetryAfter, "Another call is renewing these tokens.";
    RefreshOutcomeUnknown, "refresh-outcome-unknown", Reauthorize, "An earlier refresh was never answered, and TikTok now refuses the refresh token.";
    RefreshTooLate, "refresh-too-late", RetryAfter, "Too much time passed before the refresh token could be sent safely.";
    RevocationNotTried, "revocation-not-tried", Upstream, "TikTok was not asked to take this shop back, for lack of time or of its cipher: the seller can remove the app in Seller Center.";
    SellerInactive, "seller-inactive", Upstream, "TikTok reports the seller as inactive. The authorization lives.";
    ShopInactive, "shop-inactive", Upstream, "TikTok reports the shop as inactive. The authorization lives.";
    ShopNoLongerGranted, "shop-no-longer-granted", Reauthorize, "TikTok no longer lists this shop for the connection.";
    ShopNotLinked, "shop-not-linked", InvalidRequest, "The customer has not linked this shop.";
    SignatureRejected, "signature-rejected", Misconfigured, "TikTok does not accept the request's signature: compare the app secret with Partner Center.";
    StateInvalid, "state-invalid", InvalidRequest, "A state has 1 to 512 bytes and no spaces at its ends.";
    StateMismatch, "state-mismatch", InvalidRequest, "The callback's state is not the expected one. No request was sent.";
    StorageConflict, "storage-conflict", StorageConflict, "Lost the race for the record repeatedly; nothing was written.";
    StorageRefused, "storage-refused", StorageFailed, "The host's storage refused the write.";
    StorageUnavailable, "storage-unavailable", StorageFailed, "The host's storage could not be reached.";
    TikTokRefused, "tiktok-refused", Upstream, "TikTok refused the request.";
    TikTokUnavailable, "tiktok-unavailable", RetryAfter, "TikTok Shop has an internal fault or is overloaded.";
    TikTokUnreachable, "tiktok-unreachable", RetryAfter, "No connection to TikTok Shop could be made; nothing was sent.";
    TokenAnswerIncomplete, "token-answer-incomplete", Upstream, "TikTok's token answer lacks a token or the account.";
    TokenExpired, "token-expired", RetryAfter, "TikTok says the access token has expired.";
    TokenNotSaved, "token-not-saved", StorageFailed, "TikTok issued new tokens and storage did not take them: restore storage, then call again.";
    TokenRecordTooNew, "token-record-too-new", Misconfigured, "The stored tokens were written by a newer connector: deploy that version. Nothing was overwritten.";
    TokenRecordUnreadable, "token-record-unreadable", StorageFailed, "The stored tokens cannot be decoded: restore them, or disconnect and connect anew. Nothing was overwritten.";
    TokenRefused, "token-refused", Upstream, "TikTok refuses an access token that was just renewed.";
    TokenInvalid, "token-invalid", RetryAfter, "TikTok does not accept the access token.";
    UnknownShop, "unknown-shop", InvalidRequest, "The customer has no such shop: refresh reads the shops anew.";
    UnrecognisedAnswer, "unrecognised-answer", RetryAfter, "TikTok answered with a code the connector does not know.";
    UnrecognisedAnswerRepeated, "unrecognised-answer-repeated", Upstream, "TikTok keeps answering with a code the connector does not know.";
    ValidityTooLong, "validity-too-long", InvalidRequest, "A token can be asked to be good for 3600 seconds at most.";
    WebhookMalformed, "webhook-malformed", InvalidRequest, "The webhook's body is larger than 1 MiB, or no event.";
    WebhookSignatureInvalid, "webhook-signature-invalid", InvalidRequest, "The webhook was not signed with the app's secret, nor with the one before: it is not TikTok Shop's, or its body is not as it was sent. Nothing was recorded.";
    WrongUserType, "wrong-user-type", Upstream, "The token's kind of user or shop does not fit this request.";
}

/// The longest delay a [`Action::RetryAfter`] names.
pub const LONGEST_DELAY: Duration = Duration::from_secs(3600);

/// A cause with its circumstances. Contains no secret: what TikTok wrote passes [`scrubbed`] first. One pointer wide, as
/// it is handed upwards through every step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Circumstances>);

/// What an [`Error`] knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// What happened.
    pub cause: Cause,
    /// HTTP status of the answer, where there was one.
    pub http_status: Option<u16>,
    /// TikTok's request id, where it gave one.
    pub request_id: Option<String>,
    /// When to call again; meaningful where the action is [`Action::RetryAfter`].
    pub delay: Duration,
    note: Option<String>,
}

impl Error {
    /// A cause without circumstances; a delay of one second should it ask for a retry.
    #[must_use]
    pub fn new(cause: Cause) -> Self {
        let delay = Duration::from_secs(1);
        Self(Box::new(Circumstances { cause, http_status: None, request_id: None, delay, note: None }))
    }

    /// Adds when to call again, at most [`LONGEST_DELAY`].
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay.min(LONGEST_DELAY);
        self
    }

    /// Adds words for support. They must be free of secrets.
    #[must_use]
    pub fn noting(mut self, note: &str) -> Self {
        self.note = Some(printable(note));
        self
    }

    /// The same circumstances under another cause.
    #[must_use]
    pub fn becoming(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// One line for a log: the cause's sentence, then the note in brackets.
    #[must_use]
    pub fn detail(&self) -> String {
        self.note
            .as_ref()
            .map_or_else(|| self.cause.sentence().to_owned(), |note| format!("{} [{note}]", self.cause.sentence()))
    }
}

impl Deref for Error {
    type Target = Circumstances;

    fn deref(&self) -> &Circumstances {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Circumstances {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause.code(), self.detail())
    }
}

impl core::error::Error for Error {}

const NOTE_CHARS: usize = 200;
const LONGEST_WORD: usize = 24;
const SECRET_WINDOW: usize = 8;

fn printable(text: &str) -> String {
    text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).take(NOTE_CHARS).collect()
}

/// Control characters, and those that reverse, join or break a line without being seen (Unicode's `Cf`, `Zl` and `Zp`, as
/// far as terminals and log viewers obey them).
fn is_invisible(c: char) -> bool {
    let obeyed = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || obeyed
}

/// Foreign text made fit for an error: capped, without control or invisible characters, and without any word that is long enough to
/// be a token in some encoding or holds a part of one of `secrets`.
#[must_use]
pub fn scrubbed(text: &str, secrets: &[&str]) -> String {
    let mut kept = String::new();
    for word in text.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|word| !word.is_empty()) {
        if !kept.is_empty() {
            kept.push(' ');
        }
        let suspicious = word.len() > LONGEST_WORD || secrets.iter().any(|secret| shares_a_part(word, secret));
        kept.push_str(if suspicious { "[…]" } else { word });
        if kept.chars().count() > NOTE_CHARS {
            break;
        }
    }
    printable(&kept)
}

/// Whether a word holds eight bytes in a row of a secret, or the whole of a shorter one.
pub(crate) fn shares_a_part(word: &str, secret: &str) -> bool {
    let secret = secret.as_bytes();
    if secret.is_empty() {
        return false;
    }
    let window = secret.len().min(SECRET_WINDOW);
    secret.windows(window).any(|part| word.as_bytes().windows(window).any(|here| here == part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_kebab_case() {
        let codes: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        assert_eq!(codes.len(), Cause::ALL.len());
        for code in codes {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        }
    }

    #[test]
    fn foreign_text_loses_tokens_and_control_characters() {
        let text = "bad token ROW_abcdefgh12\n\u{1b}[31m see https://partner.example/docs/a-long-address abcdefghi";
        let scrub = scrubbed(text, &["ROW_abcdefgh12345678"]);
        assert_eq!(scrub, "bad token […] [31m see […] […]");
    }

    #[test]
    fn a_note_is_capped() {
        let long = "word ".repeat(500);
        assert!(scrubbed(&long, &[]).chars().count() <= NOTE_CHARS);
    }

    #[test]
    fn short_secrets_are_recognised_whole() {
        assert_eq!(scrubbed("key abc1 given", &["abc1"]), "key […] given");
    }
}
