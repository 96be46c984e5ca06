//! The errors of the connector. An error says what went wrong and what the host should do next.
//!
//! Every version may add causes. The list of actions does not change within a major version. [`Cause::action`] maps
//! every cause to its action.
//!
//! A host branches on the action. It may also branch on the codes in [`code`], which keep their meaning. All other
//! codes are only for counting and for support.

mod advice;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

pub use advice::Advice;

/// The next step of the host. The list does not change within a major version of the WIT package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Report the error: the connector has a bug.
    Internal,
    /// Correct the arguments of the call.
    InvalidRequest,
    /// Let an operator correct the app key, secret, scope, clock or allow list.
    Misconfigured,
    /// Ask the seller for a new consent.
    Reauthorize,
    /// Wait for the delay of the error, then call again with the same arguments.
    RetryAfter,
    /// Call again. At each try, another writer was faster, and nothing was written.
    StorageConflict,
    /// Restore storage, then call again.
    StorageFailed,
    /// Show the error and do not repeat the call. TikTok Shop refused the request, or its answer broke the protocol, or
    /// it is unknown whether TikTok Shop acted.
    Upstream,
}

macro_rules! causes {
    ($($name:ident, $code:literal, $action:ident, $sentence:literal;)*) => {
        /// The causes of an error. Each cause has a code and one action for the host.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Cause {
            $(#[doc = concat!("`", $code, "`: ", $sentence)] $name,)*
        }

        impl Cause {
            /// Every cause, ordered by name.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the documented code, in kebab-case. A code is never renamed. A host may branch on the codes in
            /// [`code`]; all other codes are only for counting and support.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns what the host should do.
            #[must_use]
            pub const fn action(self) -> Action {
                match self { $(Self::$name => Action::$action,)* }
            }

            /// Returns a short English text for a log.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

causes! {
    AccountChanged, "account-changed", Upstream, "TikTok answered a refresh with another account than the one that consented. The tokens are stored under the account that consented.";
    AccountIdInvalid, "account-id-invalid", InvalidRequest, "An account id has 1 to 256 bytes.";
    AccountOfAnotherApp, "account-of-another-app", InvalidRequest, "The account is connected under another app of the tenant, and an account id belongs to one app. Disconnect the account before it consents to this app. Nothing was stored.";
    AccountRequired, "account-required", InvalidRequest, "The customer has several accounts. Name one.";
    AlreadyConnected, "already-connected", InvalidRequest, "The customer has connected this account already. The connection keeps its own tokens.";
    AnswerCoded, "answer-coded", RetryAfter, "The answer is in a content coding, although the connector asked for none, and the host has not decoded it.";
    AnswerIncomplete, "answer-incomplete", RetryAfter, "The connection to TikTok broke or timed out before the answer was complete.";
    AnswerTooLarge, "answer-too-large", Upstream, "TikTok's answer is larger than this call accepts.";
    AnswerUnreadable, "answer-unreadable", RetryAfter, "The answer is not in the form of TikTok Shop's answers. It may be the page of a gateway.";
    AppRejected, "app-rejected", Misconfigured, "TikTok does not accept the app key or the app secret. Compare both with Partner Center.";
    AppRequired, "app-required", InvalidRequest, "The tenant has several apps. Name one of them.";
    AppUnknown, "app-unknown", Misconfigured, "The tenant has no such app. Configure the app again, or ask the seller to consent to another app of the tenant.";
    AuthorizationCodeSpent, "authorization-code-spent", Reauthorize, "The authorization code is not valid any more: it was used before, is older than 30 minutes or belongs to another app. Or this call has used it, and its tokens could not be stored.";
    AuthorizationExpired, "authorization-expired", Reauthorize, "The seller's authorization has ended.";
    AuthorizationInactive, "authorization-inactive", Upstream, "TikTok reports the seller's authorization as inactive. The seller has to act; calling again does not help.";
    AuthorizationLinkInvalid, "authorization-link-invalid", Misconfigured, "The authorization link must start with https:// and must have no state and no fragment. Copy it from Partner Center.";
    AuthorizationLinkMissing, "authorization-link-missing", Misconfigured, "No authorization link is configured. Copy it from Partner Center.";
    AuthorizationRevoked, "authorization-revoked", Reauthorize, "The seller has removed the app, or TikTok no longer knows the authorization.";
    BackingOff, "backing-off", RetryAfter, "The last attempts to renew the tokens failed, or the tokens were renewed a few minutes ago. The next attempt is not due yet.";
    CallMalformed, "call-malformed", InvalidRequest, "The path, query, body or content type of the request is malformed, so TikTok could read something else than was signed.";
    CallbackMalformed, "callback-malformed", InvalidRequest, "The callback's query is longer than 8192 bytes, repeats a parameter, or has neither a code nor an error.";
    CallbackOfAnotherApp, "callback-of-another-app", InvalidRequest, "The callback names another app than the app of the consent. No request was sent.";
    ClockSkewed, "clock-skewed", Misconfigured, "The host's clock is wrong. TikTok accepts a time from 5 minutes in the past to 30 seconds in the future.";
    ConnectionRowNotSaved, "connection-row-not-saved", StorageFailed, "The tokens are stored, but the row of the connection is not. Call refresh when storage works again.";
    ConsentRefused, "consent-refused", Reauthorize, "The seller refused the consent.";
    CredentialsRefused, "credentials-refused", Misconfigured, "The host has no usable list of apps for this tenant.";
    CredentialsUnavailable, "credentials-unavailable", StorageFailed, "The host's app credentials could not be read.";
    CustomerIdInvalid, "customer-id-invalid", InvalidRequest, "A customer id has 1 to 256 bytes.";
    EgressDenied, "egress-denied", Misconfigured, "The host's egress refused the request. Allow GET, POST, PUT and DELETE over https to auth.tiktok-shops.com and open-api.tiktokglobalshop.com.";
    GrantMalformed, "grant-malformed", InvalidRequest, "A token of an existing grant has 1 to 4096 visible ASCII characters.";
    Internal, "internal", Internal, "A bug in the connector.";
    IpNotAllowed, "ip-not-allowed", Misconfigured, "TikTok refuses the address of this host. Add the host's outgoing address to the app's IP allow list.";
    MissingPermission, "missing-permission", Misconfigured, "The app or the seller's grant lacks a scope that this call needs. Add the scope in Partner Center, then ask the seller to consent again.";
    NotASeller, "not-a-seller", InvalidRequest, "A creator or a partner gave the consent, not a seller. Nothing was stored.";
    NotConnected, "not-connected", InvalidRequest, "The customer has no such connection.";
    OutcomeUnknown, "outcome-unknown", Upstream, "The answer to a request that changes something was lost. Find out whether TikTok acted before you send it again.";
    PendingInstallMalformed, "pending-install-malformed", InvalidRequest, "The bytes are not a pending install that this version of the connector can read, or they belong to another app. Nothing was stored.";
    RateLimited, "rate-limited", RetryAfter, "TikTok limits the rate of requests.";
    Redirected, "redirected", Upstream, "TikTok answered with a redirect, which is never followed.";
    RefreshInProgress, "refresh-in-progress", RetryAfter, "Another call is renewing these tokens, or the answer to an earlier call was lost or could not be read less than 120 s ago. Nothing was sent.";
    RefreshOutcomeUnknown, "refresh-outcome-unknown", Reauthorize, "An earlier refresh got no answer, and TikTok now refuses the refresh token.";
    RefreshTooLate, "refresh-too-late", RetryAfter, "Too much time passed before the refresh token could be sent safely.";
    RevocationNotTried, "revocation-not-tried", Upstream, "TikTok was not asked to revoke this shop, because the time was over, the shop has no cipher, or the seller has consented again meanwhile. The seller can remove the app in Seller Center.";
    RowChanged, "row-changed", StorageFailed, "The stored row of the connection was changed in the database. Nothing was written.";
    RowTooNew, "row-too-new", Misconfigured, "A newer connector wrote the stored row of the connection. Deploy that version. Nothing was overwritten.";
    RowUnreadable, "row-unreadable", StorageFailed, "The stored row of the connection cannot be decoded. Nothing was written.";
    SellerInactive, "seller-inactive", Upstream, "TikTok reports the seller as inactive. The authorization lives.";
    ShopCipherMissing, "shop-cipher-missing", Upstream, "TikTok requires the shop's cipher, and none is stored for this shop. A refresh reads the list of shops again.";
    ShopEntryUnreadable, "shop-entry-unreadable", Upstream, "TikTok's list of shops has an entry that cannot be read. The other shops of the list are stored.";
    ShopInactive, "shop-inactive", Upstream, "TikTok reports the shop as inactive. The authorization lives.";
    ShopNoLongerGranted, "shop-no-longer-granted", Reauthorize, "TikTok no longer lists this shop for the connection.";
    ShopNotLinked, "shop-not-linked", InvalidRequest, "The customer has not linked this shop.";
    ShopUnconfirmed, "shop-unconfirmed", RetryAfter, "The connection had ended and works again, and TikTok has not listed this shop since. A refresh reads the list of shops.";
    SignatureRejected, "signature-rejected", Misconfigured, "TikTok does not accept the signature of the request. Compare the app secret with Partner Center.";
    StateInvalid, "state-invalid", InvalidRequest, "A state has 1 to 512 bytes and no space at its start or end.";
    StateMismatch, "state-mismatch", InvalidRequest, "The state of the callback is not the expected one. No request was sent.";
    StorageConflict, "storage-conflict", StorageConflict, "Other writers were faster each time. Nothing was written.";
    StorageRefused, "storage-refused", StorageFailed, "The host's storage refused the write.";
    StorageUnavailable, "storage-unavailable", StorageFailed, "The host's storage could not be reached.";
    TikTokRefused, "tiktok-refused", Upstream, "TikTok refused the request.";
    TikTokUnavailable, "tiktok-unavailable", RetryAfter, "TikTok Shop has an internal fault or is overloaded.";
    TikTokUnreachable, "tiktok-unreachable", RetryAfter, "No connection to TikTok Shop could be made; nothing was sent.";
    TokenAnswerIncomplete, "token-answer-incomplete", Upstream, "TikTok's token answer lacks a token or the account.";
    TokenExpired, "token-expired", RetryAfter, "TikTok says the access token has expired.";
    TokenNotSaved, "token-not-saved", StorageFailed, "TikTok issued new tokens, and storage did not take them. Restore storage, then call again.";
    TokenRecordTooNew, "token-record-too-new", Misconfigured, "A newer connector wrote the stored tokens. Deploy that version. Nothing was overwritten.";
    TokenRecordUnreadable, "token-record-unreadable", StorageFailed, "The stored tokens cannot be decoded. Restore them, or disconnect and connect again. Nothing was overwritten.";
    TokenRefused, "token-refused", Upstream, "TikTok refuses an access token that was just renewed.";
    TokenInvalid, "token-invalid", RetryAfter, "TikTok does not accept the access token.";
    TooManyShops, "too-many-shops", Upstream, "A connection has at most 1000 shops. TikTok's list has more, or the connection would have more with it. The known shops are kept.";
    UnknownShop, "unknown-shop", InvalidRequest, "The customer has no such shop. A refresh reads the list of shops again.";
    UnrecognisedAnswer, "unrecognised-answer", RetryAfter, "TikTok answered with a code that the connector does not know.";
    UnrecognisedAnswerRepeated, "unrecognised-answer-repeated", Upstream, "TikTok answers again and again with a code that the connector does not know.";
    ValidityTooLong, "validity-too-long", InvalidRequest, "A caller may ask for a validity of at most 3600 seconds.";
    WebhookMalformed, "webhook-malformed", InvalidRequest, "The body of the webhook is larger than 1 MiB or is not an event.";
    WebhookSignatureInvalid, "webhook-signature-invalid", InvalidRequest, "No current or previous secret of the tenant's apps signed the webhook. TikTok Shop did not send it, or its body was changed. Nothing was recorded.";
    WrongUserType, "wrong-user-type", Upstream, "The kind of user or shop that the token belongs to does not fit this request.";
}

/// The codes on which a host may branch. They keep their meaning within a major version.
pub mod code {
    use super::Cause;

    /// The customer has connected the account of an existing grant already. An import reports this customer as
    /// connected.
    pub const ALREADY_CONNECTED: &str = Cause::AlreadyConnected.code();
    /// The last attempts to renew the tokens failed, or the tokens were renewed a few minutes ago. The next attempt is
    /// not due yet. A sweep skips such a connection.
    pub const BACKING_OFF: &str = Cause::BackingOff.code();
    /// The seller refused the consent. Nothing has changed.
    pub const CONSENT_REFUSED: &str = Cause::ConsentRefused.code();
    /// The host refused the credentials of the tenant's apps, or the tenant has no app. After
    /// three refreshes that end with this code or the next one, a sweep begins no other refresh of the tenant.
    pub const CREDENTIALS_REFUSED: &str = Cause::CredentialsRefused.code();
    /// The credentials of the tenant's apps could not be read.
    pub const CREDENTIALS_UNAVAILABLE: &str = Cause::CredentialsUnavailable.code();
    /// A creator or a partner gave the consent, not a seller. A page can tell the person to use the account of the seller.
    pub const NOT_A_SELLER: &str = Cause::NotASeller.code();
    /// The customer has no such connection.
    pub const NOT_CONNECTED: &str = Cause::NotConnected.code();
    /// Another call holds the claim on the refresh token. A sweep skips such a connection.
    pub const REFRESH_IN_PROGRESS: &str = Cause::RefreshInProgress.code();
    /// The stored token record cannot be decoded. If `connect` ends with this error, the authorization code is used up, so
    /// the same callback can't succeed.
    pub const TOKEN_RECORD_UNREADABLE: &str = Cause::TokenRecordUnreadable.code();
    /// The body of the webhook is too large, or it is signed but can't be read as an event. If it is too large, the
    /// host answers HTTP 413. Otherwise the host answers HTTP 500, so that TikTok sends the webhook again, and shows
    /// the error to an operator.
    pub const WEBHOOK_MALFORMED: &str = Cause::WebhookMalformed.code();
    /// TikTok Shop did not send this webhook, or its body was changed. The host answers it with HTTP 401.
    pub const WEBHOOK_SIGNATURE_INVALID: &str = Cause::WebhookSignatureInvalid.code();
}

/// The longest delay of an [`Action::RetryAfter`]: one hour.
pub const MAX_DELAY: Duration = Duration::from_secs(3600);

/// A cause with its circumstances. An error contains no secret, because [`scrubbed`] removes all secrets from TikTok's
/// texts first. The circumstances are boxed, so that a `Result` with this error is small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Circumstances>);

/// The circumstances of an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The cause.
    pub cause: Cause,
    /// The HTTP status of the answer, if there was one.
    pub http_status: Option<u16>,
    /// TikTok's request id, if the answer had one.
    pub request_id: Option<String>,
    /// The time to wait before the next call. It has a meaning only if the action is [`Action::RetryAfter`].
    pub delay: Duration,
    note: Option<String>,
}

impl Error {
    /// Builds an error without circumstances. Its delay is one second.
    #[must_use]
    pub fn new(cause: Cause) -> Self {
        let delay = Duration::from_secs(1);
        Self(Box::new(Circumstances { cause, http_status: None, request_id: None, delay, note: None }))
    }

    /// Sets the delay. A delay longer than [`MAX_DELAY`] becomes [`MAX_DELAY`].
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay.min(MAX_DELAY);
        self
    }

    /// Adds a note for support. The note must not contain secrets.
    #[must_use]
    pub fn with_note(mut self, note: &str) -> Self {
        self.note = Some(printable(note));
        self
    }

    /// Returns the note for support.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Changes the cause and keeps the circumstances.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// Returns one line for a log: the text of the cause, then the note in brackets.
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

const MAX_NOTE_CHARS: usize = 200;
/// The length of the longest word that is kept, in bytes. A longer word is removed, because it could be a token in some
/// encoding.
const MAX_WORD_BYTES: usize = 24;
/// The maximum length of a name with dots that is kept, in bytes. TikTok's names of scopes are such names: for example
/// `seller.authorization.info`.
const MAX_NAME_BYTES: usize = 64;
/// A word that shares this many consecutive bytes with a secret is removed.
const SECRET_WINDOW: usize = 8;

fn printable(text: &str) -> String {
    text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).take(MAX_NOTE_CHARS).collect()
}

/// Returns true for a control character, and for an invisible character with which a terminal or a log viewer changes
/// the direction of a text, joins characters or begins a line. The invisible characters are a part of Unicode's
/// categories `Cf`, `Zl` and `Zp`.
fn is_invisible(c: char) -> bool {
    let obeyed = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || obeyed
}

/// Makes a text of TikTok or of the host safe for an error. Control and invisible characters are removed. A word is
/// replaced by `[…]` in two cases: it contains a part of one of `secrets`; or it has more than 24 bytes and is not a
/// name with dots, so it may be a token in some encoding. The text is cut off at 200 characters.
#[must_use]
pub fn scrubbed(text: &str, secrets: &[&str]) -> String {
    let mut kept = String::new();
    for word in text.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|word| !word.is_empty()) {
        if !kept.is_empty() {
            kept.push(' ');
        }
        let is_long = word.len() > MAX_WORD_BYTES && !is_dotted_name(word);
        let suspicious = is_long || secrets.iter().any(|secret| shares_a_part(word, secret));
        kept.push_str(if suspicious { "[…]" } else { word });
        if kept.chars().count() > MAX_NOTE_CHARS {
            break;
        }
    }
    printable(&kept)
}

/// Returns whether a word contains only lowercase letters, underscores, dots and punctuation, and at least one dot. A token
/// in any encoding contains digits or capital letters, too.
fn is_dotted_name(word: &str) -> bool {
    let belongs = |byte: u8| byte.is_ascii_lowercase() || b"_.,:;'\"()[]".contains(&byte);
    word.len() <= MAX_NAME_BYTES && word.contains('.') && word.bytes().all(belongs)
}

/// Returns whether a word contains eight consecutive bytes of a secret. If the secret has fewer than eight bytes,
/// returns whether the word contains the whole secret.
pub(crate) fn shares_a_part(word: &str, secret: &str) -> bool {
    let length = secret.len().min(SECRET_WINDOW);
    let of_word: Vec<u64> = parts(word, length).collect();
    !of_word.is_empty() && parts(secret, length).any(|part| of_word.contains(&part))
}

/// Returns every part of a text that has `length` bytes, as a number. `length` is at most 8. If `length` is 0, returns
/// nothing. Numbers are compared many times faster than slices.
fn parts(text: &str, length: usize) -> impl Iterator<Item = u64> {
    let kept = u64::MAX.checked_shr(64 - 8 * length as u32).unwrap_or_default();
    let mut part = 0;
    let ends = text.bytes().map(move |byte| {
        part = (part << 8 | u64::from(byte)) & kept;
        part
    });
    ends.skip(length.saturating_sub(1)).take(if length == 0 { 0 } else { text.len() })
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
    fn the_name_of_a_scope_is_kept_even_if_it_is_long() {
        let text = "missing: 'seller.authorization.info', finance.statement.read_only.";
        assert_eq!(scrubbed(text, &["ROW_abcdefgh12345678"]), text);
        let long = "seller.".repeat(10);
        for removed in
            [&*long, "seller.Authorization.information", "seller.authorization.info1", "sellerauthorizationinformation"]
        {
            assert_eq!(scrubbed(removed, &[]), "[…]", "{removed}");
        }
        assert_eq!(scrubbed("seller.authorization.info", &["rization.inf"]), "[…]");
    }

    #[test]
    fn a_long_note_is_cut_off() {
        let long = "word ".repeat(500);
        assert!(scrubbed(&long, &[]).chars().count() <= MAX_NOTE_CHARS);
    }

    #[test]
    fn a_part_of_a_secret_is_found_at_every_place() {
        let secret = "0123456789abcdef";
        for at in 0..=8 {
            let part = secret.get(at..at + 8).unwrap();
            for word in [part.into(), alloc::format!("x{part}"), alloc::format!("{part}y"), alloc::format!("é{part}é")]
            {
                assert!(shares_a_part(&word, secret), "{word}");
            }
            let changed = alloc::format!("{}X{}", part.get(..3).unwrap(), part.get(4..).unwrap());
            assert!(!shares_a_part(&changed, secret), "{changed}");
        }
        assert!(!shares_a_part("0123456", secret));
        assert!(!shares_a_part("", secret));
        assert!(!shares_a_part("anything", ""));
        assert!(shares_a_part("xabcx", "abc"));
        assert!(!shares_a_part("ab", "abc"));
    }

    #[test]
    fn a_short_secret_is_removed() {
        assert_eq!(scrubbed("key abc1 given", &["abc1"]), "key […] given");
    }
}
