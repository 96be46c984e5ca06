//! Handles a seller's consent, from the link to the callback. One browser begins a consent. Only the same browser can
//! finish the consent, and only once.
//!
//! The state that travels through TikTok Shop is a random number. The storage keeps the SHA-256 of the state and not
//! the state itself, so that a reader of the storage can't use the state. The host checks the browser and the state
//! before it sends anything to TikTok Shop (RFC 9700, sections 2.1 and 4.7). So the host never exchanges a code that an
//! attacker has placed in another person's browser. The stored record of a consent is bound to the secret of the
//! browser ([`ConsentBinding`]). So a person who can write to the storage can't give the shops of this consent to
//! another customer.

mod binding;

use std::time::Duration;

use tiktok_shop_connector_core::callback::check_form;

pub(crate) use self::binding::digest_of_install;
pub use self::binding::{ConsentBinding, RecordPurpose};
use crate::connect::Grant;
use crate::connection::{Connection, ShopPolicy};
use crate::error::{Action, CallError, codes};
use crate::host::ConnectorHost;
use crate::id::{AppKey, CustomerId, TenantId};
use crate::randomness::{Randomness, random_bits};
use crate::secret::Secret;
use crate::storage::{BrowserDigest, StateDigest, StorageError, StoredConsent, run_within};

/// A consent can be finished within this time after its start: ten minutes.
const MAX_AGE: Duration = Duration::from_secs(600);
/// The minimum length of a session secret, in bytes. A shorter secret could be guessed.
const MIN_SESSION_BYTES: usize = 16;

/// A secret that only one signed-in browser knows: the value of its session cookie. Use a new value after every
/// sign-in, and draw it at random, with at least 128 bits. The storage keeps digests that depend on the value, and the
/// key of a pending install is derived from the value. So a reader of the storage could guess a value that is not
/// random.
#[derive(Debug, Clone)]
pub struct BrowserSession(Secret);

impl BrowserSession {
    /// Wraps the value of a session cookie. `None` if the value is shorter than 16 bytes, for example because the
    /// cookie is missing.
    #[must_use]
    pub fn new(secret: Secret) -> Option<Self> {
        (secret.expose().len() >= MIN_SESSION_BYTES).then_some(Self(secret))
    }

    /// Returns the SHA-256 of the secret. An earlier release has stored this digest in installs.
    pub(crate) fn sha256(&self) -> BrowserDigest {
        BrowserDigest::of(&self.0)
    }

    /// Returns the secret, from which the host derives the name and the key of a pending install.
    pub(crate) const fn secret(&self) -> &Secret {
        &self.0
    }
}

/// A consent that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The link to which the platform sends the browser. It contains the state, so it is secret.
    pub url: Secret,
}

/// Why a consent did not begin, or why a callback did not become a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentError {
    /// The callback contains no state, several states, or a state that belongs to no consent of this tenant. Begin a
    /// new consent. The callback of an install from TikTok's App Store contains no state: see
    /// [`ConnectorHost::begin_install`].
    #[error("the callback carries no state of a consent of this tenant")]
    StateMismatch,
    /// Another browser began this consent. Tell the user to finish the consent in the other browser, because the state
    /// is still valid there.
    #[error("another browser began this consent")]
    OtherBrowser,
    /// An earlier callback has used this state. Show the connection, or begin a new consent.
    #[error("an earlier callback has used this state")]
    StateUsed,
    /// The consent began more than ten minutes ago. Begin a new consent.
    #[error("the consent began more than ten minutes ago")]
    StateExpired,
    /// The callback has neither a code nor an error, repeats a parameter, or is longer than 8192 bytes. The state
    /// remains unused. Call again with the whole query of the callback.
    #[error("the callback is incomplete, repeats a parameter, or is too long")]
    Malformed,
    /// The storage failed, so it is unknown whether the state is used. Try the same callback again. If the second
    /// attempt fails with [`StateUsed`](Self::StateUsed), begin a new consent.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The call to the connector failed. If the error says to call again, or if the call did not start, the same
    /// callback can be tried again. [`CallError::Busy`] and [`CallError::NoRandomness`] mean that the call did not
    /// start.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl ConsentError {
    /// Returns a short name of the error, for counting and for programs: the code of the connector's error, or a word
    /// for the host's own error.
    #[must_use]
    pub fn code(&self) -> &str {
        if let Self::Call(error) = self { error.code() } else { self.known_code() }
    }

    /// Returns the code as a label of a metric: see [`CallError::known_code`].
    #[must_use]
    pub fn known_code(&self) -> &'static str {
        match self {
            Self::StateMismatch => "state-mismatch",
            Self::OtherBrowser => "other-browser",
            Self::StateUsed => "state-used",
            Self::StateExpired => "state-expired",
            Self::Malformed => "callback-malformed",
            Self::Storage(_) => "storage-failed",
            Self::Call(error) => error.known_code(),
        }
    }

    /// Returns whether it can help to send the same callback again. The state then still works, or it is unknown
    /// whether it works.
    #[must_use]
    pub fn can_be_repeated(&self) -> bool {
        match self {
            Self::Storage(_) | Self::Malformed => true,
            Self::Call(error) => can_be_repeated(error),
            Self::StateMismatch | Self::OtherBrowser | Self::StateUsed | Self::StateExpired => false,
        }
    }
}

impl ConnectorHost {
    /// Begins a consent to an app of the tenant. `None` means the tenant's only app. The state belongs to this app, so
    /// [`finish_consent`](Self::finish_consent) refuses the callback of another app. Send the seller's browser to the
    /// link in the result. TikTok sends the same browser back to your callback, and
    /// [`finish_consent`](Self::finish_consent) makes the connection for this customer. The callback must arrive within
    /// ten minutes.
    ///
    /// # Errors
    /// [`ConsentError::Storage`] or [`ConsentError::Call`]. After an error, no consent has begun. The code
    /// `app-required` means that the tenant has several apps. The detail names them.
    pub async fn begin_consent(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        app: Option<&AppKey>,
        browser: &BrowserSession,
        shops: ShopPolicy,
    ) -> Result<Consent, ConsentError> {
        let state = draw_state(&*self.sandbox.randomness).map_err(|error| {
            tracing::error!(%error, "no randomness");
            CallError::NoRandomness { plugin: self.plugin().clone() }
        })?;
        let (app, url) = self.consent_link(tenant, app, state.clone()).await?;
        let digest = StateDigest::of(&state);
        let record = binding(tenant, &digest, browser).record(customer.clone(), Some(app), shops);
        run_within(self.storage_timeout(), self.storage().put_state(tenant, &digest, &record)).await?;
        Ok(Consent { url })
    }

    /// Finishes the consent that this browser began. `query` is the text after the `?` of the callback's address,
    /// unchanged. If several callbacks with this state arrive at the same moment, at most one call succeeds, and the
    /// other calls fail with [`ConsentError::StateUsed`]. If the query does not contain the seller's decision, the call
    /// fails with [`ConsentError::Malformed`], and the state remains unused.
    ///
    /// # Errors
    /// See [`ConsentError`]. Nothing was sent to TikTok, unless the error is [`ConsentError::Call`].
    pub async fn finish_consent(
        &self,
        tenant: &TenantId,
        browser: &BrowserSession,
        query: Secret,
    ) -> Result<Connection, ConsentError> {
        let state = only_state(&query).ok_or(ConsentError::StateMismatch)?;
        let digest = StateDigest::of(&state);
        let found = run_within(self.storage_timeout(), self.storage().load_state(tenant, &digest)).await?;
        let StoredConsent { record, age, used } = found.ok_or(ConsentError::StateMismatch)?;
        // This check comes first, so that another browser can't use the state, and does not learn whether the state is
        // used or too old.
        if !binding(tenant, &digest, browser).fits(&record) {
            return Err(ConsentError::OtherBrowser);
        }
        if used {
            return Err(ConsentError::StateUsed);
        }
        if age > MAX_AGE {
            return Err(ConsentError::StateExpired);
        }
        if check_form(query.expose()).is_err() {
            return Err(ConsentError::Malformed);
        }
        if !run_within(self.storage_timeout(), self.storage().use_state(tenant, &digest)).await? {
            return Err(ConsentError::StateUsed);
        }
        let grant = Grant::Callback { query, state };
        let outcome = self.connect(tenant, &record.customer, record.app.as_ref(), grant, record.shops).await;
        if outcome.as_ref().is_err_and(can_be_repeated) {
            let released = run_within(self.storage_timeout(), self.storage().release_state(tenant, &digest)).await;
            if let Err(error) = released {
                tracing::warn!(%error, "a state stays used, although its callback could be repeated");
            }
        }
        Ok(outcome?)
    }
}

/// Returns the binding of a consent to the browser in which it began.
const fn binding<'a>(tenant: &'a TenantId, state: &'a StateDigest, browser: &'a BrowserSession) -> ConsentBinding<'a> {
    ConsentBinding { purpose: RecordPurpose::Consent, tenant, state, browser }
}

/// Draws a state of 128 random bits, as hexadecimal digits, which need no encoding in a link.
fn draw_state(randomness: &dyn Randomness) -> std::io::Result<Secret> {
    Ok(format!("{:032x}", random_bits(randomness)?).into())
}

/// Returns the state of a query. `None` if the query contains no state, an empty state or several states.
fn only_state(query: &Secret) -> Option<Secret> {
    let parameters = form_urlencoded::parse(query.expose().as_bytes());
    let mut states = parameters.filter(|(name, _)| name == "state").map(|(_, value)| value);
    let state = states.next().filter(|state| !state.is_empty())?;
    states.next().is_none().then(|| state.into_owned().into())
}

/// Returns whether it can help to repeat the callback. It can help if the authorization code is probably unspent.
fn can_be_repeated(error: &CallError) -> bool {
    match error {
        CallError::Connector(error) => match error.action() {
            Action::RetryAfter(_) | Action::StorageConflict => true,
            // The connector reads the record of the account only after it has spent the code.
            Action::StorageFailed => error.failure().code != codes::TOKEN_RECORD_UNREADABLE,
            Action::Reauthorize
            | Action::Misconfigured
            | Action::InvalidRequest
            | Action::Upstream
            | Action::Internal => false,
        },
        CallError::Busy { .. } | CallError::NoRandomness { .. } => true,
        CallError::Trapped { .. }
        | CallError::DeadlineExceeded { .. }
        | CallError::Exhausted { .. }
        | CallError::ContractBroken { .. }
        | CallError::NotRecorded { .. }
        | CallError::Aborted { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io;

    use super::*;
    use crate::error::{ConnectorError, Failure, Plugin, Resource, Trap};
    use crate::randomness::SystemRandomness;

    /// A source of randomness that always returns these bytes.
    struct Scripted([u8; 16]);

    impl Randomness for Scripted {
        fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
            bytes.copy_from_slice(&self.0);
            Ok(())
        }
    }

    /// A source of randomness that always fails.
    struct Broken;

    impl Randomness for Broken {
        fn fill(&self, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn a_state_contains_all_of_its_128_random_bits() {
        let state = |bits: u128| draw_state(&Scripted(bits.to_be_bytes())).unwrap().expose().to_owned();
        let states: HashSet<_> = (0..128).map(|bit| state(1 << bit)).chain([state(0)]).collect();
        assert_eq!(states.len(), 129);
        assert!(states.iter().all(|state| state.len() == 32 && state.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn a_million_states_all_differ() {
        let states: HashSet<_> =
            (0..1_000_000).map(|_| draw_state(&SystemRandomness).unwrap().expose().to_owned()).collect();
        assert_eq!(states.len(), 1_000_000);
    }

    #[test]
    fn no_state_is_drawn_without_randomness() {
        assert_eq!(draw_state(&Broken).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn only_a_query_with_exactly_one_nonempty_state_has_a_state() {
        let table = [
            ("code=c&state=s", Some("s")),
            ("state=a%2Bb%20c", Some("a+b c")),
            ("code=c", None),
            ("", None),
            ("state=", None),
            ("state", None),
            ("State=s", None),
            ("state=s&state=s", None),
            ("state=s&state=", None),
            ("state=&state=s", None),
            ("state=s&st%61te=t", None),
        ];
        for (query, expected) in table {
            assert_eq!(only_state(&query.into()), expected.map(Secret::from), "{query}");
        }
    }

    /// Checks every action of the connector and every error of the host. The state works again only after an error that
    /// leaves the authorization code unspent: the connector says to call again, or the call did not start.
    #[test]
    fn a_state_works_again_only_after_an_error_that_leaves_the_code_unspent() {
        let plugin = || Plugin::new("tiktok-shop:connector@0.2.0");
        let coded = |action, code: &str| {
            let failure = Failure { code: code.to_owned(), detail: String::new(), http_status: None, request_id: None };
            CallError::Connector(ConnectorError { plugin: plugin(), action, failure, proxy_error: None })
        };
        let answered = |action| coded(action, "code");
        let table = [
            (answered(Action::RetryAfter(Duration::from_secs(7))), true),
            (answered(Action::RetryAfter(Duration::ZERO)), true),
            (answered(Action::StorageConflict), true),
            (answered(Action::StorageFailed), true),
            // The connector reads the stored record after it has spent the code.
            (coded(Action::StorageFailed, codes::TOKEN_RECORD_UNREADABLE), false),
            (answered(Action::Reauthorize), false),
            (answered(Action::Misconfigured), false),
            (answered(Action::InvalidRequest), false),
            // TikTok may have acted on the code.
            (answered(Action::Upstream), false),
            (answered(Action::Internal), false),
            (CallError::Busy { plugin: plugin() }, true),
            (CallError::NoRandomness { plugin: plugin() }, true),
            // In each of the following cases, the guest may have sent the code.
            (CallError::Trapped { plugin: plugin(), trap: Trap::new("unreachable".to_owned(), Vec::new()) }, false),
            (CallError::DeadlineExceeded { plugin: plugin(), deadline: Duration::from_secs(1) }, false),
            (CallError::Exhausted { plugin: plugin(), resource: Resource::Memory }, false),
            (CallError::ContractBroken { plugin: plugin(), what: "a rule" }, false),
            (CallError::NotRecorded { plugin: plugin(), why: StorageError::Unavailable("down".to_owned()) }, false),
            (CallError::Aborted { plugin: plugin() }, false),
        ];
        for (error, works_again) in table {
            assert_eq!(can_be_repeated(&error), works_again, "{error:?}");
        }
    }

    #[test]
    fn a_session_secret_has_at_least_16_bytes() {
        assert!(BrowserSession::new("".into()).is_none());
        assert!(BrowserSession::new("0123456789abcde".into()).is_none());
        let session = BrowserSession::new("0123456789abcdef".into()).unwrap();
        assert_eq!(session.sha256(), BrowserDigest::new(*session.sha256().as_bytes()));
        let other = BrowserSession::new("0123456789abcdeg".into()).unwrap();
        assert_ne!(session.sha256(), other.sha256());
        assert_eq!(format!("{session:?} {:?}", session.sha256()), "BrowserSession([redacted]) [digest]");
    }
}
