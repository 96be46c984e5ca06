//! A seller's consent, from the link to the callback: begun by one browser, taken up by the same one, once.
//!
//! The state that travels through TikTok Shop is random and nothing else; what it stands for is kept by the storage under its
//! SHA-256, so that whoever reads the storage can use none. All is checked before TikTok Shop is asked anything (RFC 9700,
//! sections 2.1 and 4.7): a code that somebody slips into another person's browser is not exchanged.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::connection::{Connection, Grant, ShopPolicy, StateCheck};
use crate::digest::{StateDigest, sha256};
use crate::error::{Action, CallError};
use crate::host::ConnectorHost;
use crate::id::{CustomerId, TenantId, random_bits};
use crate::imports::answered_within;
use crate::randomness::Randomness;
use crate::secret::Secret;
use crate::storage::StorageError;

/// How long after its begin a consent is taken up.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(600);
/// Fewer bytes of a browser's session could be guessed.
const SHORTEST_SESSION: usize = 16;

/// What only one signed-in browser knows: the value of the session's cookie. Use a new one after every sign-in.
#[derive(Debug, Clone)]
pub struct BrowserSession(Secret);

impl BrowserSession {
    /// `None`: shorter than 16 bytes, which is no secret; a missing cookie must not pass for one.
    #[must_use]
    pub fn new(secret: Secret) -> Option<Self> {
        (secret.expose().len() >= SHORTEST_SESSION).then_some(Self(secret))
    }

    /// What a storage keeps of it.
    #[must_use]
    pub fn digest(&self) -> BrowserDigest {
        BrowserDigest(sha256(self.0.expose()))
    }
}

/// SHA-256 of a [`BrowserSession`]. Comparing two takes the same time wherever they differ.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct BrowserDigest([u8; 32]);

impl BrowserDigest {
    /// As it was stored.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for BrowserDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for BrowserDigest {}

impl fmt::Debug for BrowserDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// What a state stands for. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// Whose connection it will be.
    pub customer: CustomerId,
    /// Whose browser began.
    pub browser: BrowserDigest,
    /// Which shops it links.
    pub shops: ShopPolicy,
}

/// A consent as a storage holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConsent {
    /// What the state stands for.
    pub record: ConsentRecord,
    /// Since its begin, by the storage's own clock.
    pub age: Duration,
    /// Whether a callback has used its state up.
    pub used: bool,
}

/// A consent that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Where to send the browser. Carries the state: not for a log.
    pub url: Secret,
}

/// Why a consent did not begin, or a callback did not become a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentError {
    /// The callback carries no state, several, or one that no consent of this tenant has. Begin anew. An install from
    /// TikTok's App Store carries none: [`ConnectorHost::finish_app_store_install`].
    #[error("the callback carries no state of a consent of this tenant")]
    StateMismatch,
    /// Another browser began this consent. Show that it must be finished where it was begun; the state is still good there.
    #[error("another browser began this consent")]
    OtherBrowser,
    /// A callback has used this state. Show the connection, or begin anew.
    #[error("a callback has used this state up")]
    StateUsed,
    /// It began more than ten minutes ago. Begin anew.
    #[error("the consent began more than ten minutes ago")]
    StateExpired,
    /// Whether the state is used up is unknown. Try the same callback again; after [`StateUsed`](Self::StateUsed) begin anew.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// As it says. Where it says to call again, and where no instance was free, the same callback may come again.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl ConnectorHost {
    /// Begins a consent: the seller is sent to the link that this gives, within ten minutes TikTok sends the same browser
    /// back, and [`finish_consent`](Self::finish_consent) takes it up for this customer.
    ///
    /// # Errors
    /// [`ConsentError::Storage`] and [`ConsentError::Call`], as without randomness; nothing has begun then.
    pub async fn begin_consent(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        browser: &BrowserSession,
        shops: ShopPolicy,
    ) -> Result<Consent, ConsentError> {
        let state = draw_state(&*self.shared.randomness).map_err(|error| {
            tracing::error!(%error, "no randomness");
            CallError::NoRandomness { plugin: self.plugin().clone() }
        })?;
        let url = self.authorization_url(tenant, state.clone()).await?;
        let record = ConsentRecord { customer: customer.clone(), browser: browser.digest(), shops };
        answered_within(self.answer(), self.storage().put_state(tenant, &StateDigest::of(&state), &record)).await?;
        Ok(Consent { url: url.into() })
    }

    /// Takes up the consent that this browser began: `query` is what stands behind the `?` of the callback's address, as it
    /// arrived. Of callbacks that come at once one is taken up, the others get [`ConsentError::StateUsed`].
    ///
    /// # Errors
    /// See [`ConsentError`]. But with [`ConsentError::Call`] no request was sent.
    pub async fn finish_consent(
        &self,
        tenant: &TenantId,
        browser: &BrowserSession,
        query: Secret,
    ) -> Result<Connection, ConsentError> {
        let state = only_state(&query).ok_or(ConsentError::StateMismatch)?;
        let digest = StateDigest::of(&state);
        let found = answered_within(self.answer(), self.storage().load_state(tenant, &digest)).await?;
        let StoredConsent { record, age, used } = found.ok_or(ConsentError::StateMismatch)?;
        // First of all: no other browser learns more, nor uses the state up.
        if record.browser != browser.digest() {
            return Err(ConsentError::OtherBrowser);
        }
        if used {
            return Err(ConsentError::StateUsed);
        }
        if age > TAKEN_UP_WITHIN {
            return Err(ConsentError::StateExpired);
        }
        if !answered_within(self.answer(), self.storage().use_state(tenant, &digest)).await? {
            return Err(ConsentError::StateUsed);
        }
        let grant = Grant::Callback { query, state: StateCheck::Expected(state) };
        let outcome = self.connect(tenant, &record.customer, grant, record.shops).await;
        if outcome.as_ref().is_err_and(may_come_again) {
            let released = answered_within(self.answer(), self.storage().release_state(tenant, &digest)).await;
            if let Err(error) = released {
                tracing::warn!(%error, "a state stays used up, though its callback could come again");
            }
        }
        Ok(outcome?)
    }

    /// Takes up an install from TikTok's App Store, which arrives without a state: nothing but the host says whose it is.
    /// Anybody can send a browser there with a code of their own, so call this only once the customer has signed in on this
    /// very visit, has been shown which seller account is about to be attached, and has agreed. A query with a state is
    /// refused: it belongs to a consent that was begun.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn finish_app_store_install(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        query: Secret,
        shops: ShopPolicy,
    ) -> Result<Connection, CallError> {
        let grant = Grant::Callback { query, state: StateCheck::AppStoreInstall };
        self.connect(tenant, customer, grant, shops).await
    }
}

/// 128 random bits, in digits that need no encoding in a link.
fn draw_state(randomness: &dyn Randomness) -> std::io::Result<Secret> {
    Ok(format!("{:032x}", random_bits(randomness)?).into())
}

/// The state that a query carries once.
fn only_state(query: &Secret) -> Option<Secret> {
    let parameters = form_urlencoded::parse(query.expose().as_bytes());
    let mut states = parameters.filter(|(name, _)| name == "state").map(|(_, value)| value);
    let state = states.next().filter(|state| !state.is_empty())?;
    states.next().is_none().then(|| state.into_owned().into())
}

/// Whether the code is unspent, as far as anybody knows, and a repetition of the callback is what helps.
fn may_come_again(error: &CallError) -> bool {
    match error {
        CallError::Connector(error) => match error.action() {
            Action::RetryAfter(_) | Action::StorageConflict | Action::StorageFailed => true,
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
        | CallError::Aborted { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io;

    use super::*;
    use crate::randomness::SystemRandomness;

    /// Gives these bytes, and then no more.
    struct Scripted([u8; 16]);

    impl Randomness for Scripted {
        fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
            bytes.copy_from_slice(&self.0);
            Ok(())
        }
    }

    struct Broken;

    impl Randomness for Broken {
        fn fill(&self, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn every_one_of_128_random_bits_is_in_a_state() {
        let state = |bits: u128| draw_state(&Scripted(bits.to_be_bytes())).unwrap().expose().to_owned();
        let states: HashSet<_> = (0..128).map(|bit| state(1 << bit)).chain([state(0)]).collect();
        assert_eq!(states.len(), 129);
        assert!(states.iter().all(|state| state.len() == 32 && state.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn a_million_states_are_a_million_states() {
        let states: HashSet<_> =
            (0..1_000_000).map(|_| draw_state(&SystemRandomness).unwrap().expose().to_owned()).collect();
        assert_eq!(states.len(), 1_000_000);
    }

    #[test]
    fn without_randomness_there_is_no_state() {
        assert_eq!(draw_state(&Broken).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn a_query_has_one_state_or_none() {
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

    #[test]
    fn a_session_is_a_secret_of_16_bytes_at_least() {
        assert!(BrowserSession::new("".into()).is_none());
        assert!(BrowserSession::new("0123456789abcde".into()).is_none());
        let session = BrowserSession::new("0123456789abcdef".into()).unwrap();
        assert_eq!(session.digest(), BrowserDigest::new(*session.digest().as_bytes()));
        let other = BrowserSession::new("0123456789abcdeg".into()).unwrap();
        assert_ne!(session.digest(), other.digest());
        assert_eq!(format!("{session:?} {:?}", session.digest()), "BrowserSession([redacted]) [digest]");
    }
}
