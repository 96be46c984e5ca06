//! Connect sessions: a platform begins a session for a customer, and the seller's browser opens its address.
//!
//! Nothing about a session is kept in the memory of the process, so any replica can answer every request of it. The
//! address and the cookie carry what the service needs to know: the tenant, the session and the return address. The
//! storage keeps a digest of each, in the same place as the states of consents, and marks the address as used exactly
//! once. A changed address or cookie has another digest, and is unknown. The customer, the app and the shop policy are
//! only in the storage. The secret of the address binds them, so an address whose record was changed in the storage
//! can't be opened. The record by which a platform asks for the outcome is not bound, because it connects nothing.
//!
//! The storage keeps a digest for an hour at least. So a platform can ask for the outcome for an hour.

mod failed_consent;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::consent::{BrowserSession, ConsentBinding, RecordPurpose};
use tiktok_shop_host::events::Actor;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::{BrowserDigest, ConsentRecord, HostStorage, StateDigest, StorageError, StoredConsent};
use tiktok_shop_host::{AppKey, CustomerId, Secret, TenantId};

use crate::problem::Problem;
use crate::state::in_time;

pub(crate) use failed_consent::FailedConsent;

/// An address can be opened within this time: 30 minutes.
pub(crate) const ADDRESS_LIFE: Duration = Duration::from_secs(1800);
/// A consent can be finished within this time after the address was opened: ten minutes, as the host library decides.
pub(crate) const CONSENT_LIFE: Duration = Duration::from_secs(600);

/// The maximum length of a return address, in bytes. Address and cookie contain it.
pub(crate) const MAX_RETURN_BYTES: usize = 1024;

/// The maximum length of the secret part of an address, and of a cookie, in bytes. Both are part of a request's head.
const MAX_TICKET_BYTES: usize = 4096;

/// What the address of a session carries. Its text is secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ticket {
    /// The tenant of the API key that began the session.
    #[serde(rename = "t")]
    pub(crate) tenant: TenantId,
    /// The id of the session.
    #[serde(rename = "s")]
    pub(crate) session: String,
    /// The name of the API key that began the session.
    #[serde(rename = "a")]
    pub(crate) actor: Actor,
    /// Where the seller is led back.
    #[serde(rename = "r")]
    pub(crate) return_to: Option<String>,
    /// The name of the customer. If it is known, the seller confirms it before the consent begins.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(crate) customer_name: Option<String>,
    /// 256 random bits, which make the text unguessable. Each text of a session has its own.
    #[serde(rename = "n")]
    nonce: String,
}

/// What a platform asks a session for.
pub(crate) struct Wanted {
    pub(crate) customer: CustomerId,
    pub(crate) app: Option<AppKey>,
    pub(crate) shops: ShopPolicy,
    pub(crate) return_to: Option<String>,
    pub(crate) customer_name: Option<String>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The seller has consented, and the connection is stored.
    Connected,
    /// The seller has refused.
    Refused,
    /// The consent could not be finished.
    Failed,
}

impl Outcome {
    pub(crate) const ALL: [Self; 3] = [Self::Connected, Self::Refused, Self::Failed];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// How a session ended, and why it was refused or has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// `None` if the seller has connected. Also `None` if a process of an earlier release has recorded the outcome.
    pub(crate) failure: Option<FailedConsent>,
}

/// The state of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The address was not opened.
    Waiting,
    /// The address was opened, and no outcome is recorded.
    Opened,
    /// The address or the consent has become too old.
    Expired,
    Ended(End),
}

impl Progress {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Opened => "opened",
            Self::Expired => "expired",
            Self::Ended(end) => end.outcome.as_str(),
        }
    }
}

/// An opened address.
pub(crate) struct Opened {
    pub(crate) ticket: Ticket,
    pub(crate) record: ConsentRecord,
}

/// Why an address can't be opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// The address is malformed, unknown, too old, or was opened before, or its record was changed in the storage. A
    /// stranger does not learn which.
    Ended,
    Storage(StorageError),
}

impl From<StorageError> for NotOpened {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// Draws random bytes, as hexadecimal digits.
pub(crate) fn random_digits<const BYTES: usize>() -> Result<String, Problem> {
    let mut bytes = [0; BYTES];
    SystemRandomness.fill(&mut bytes).map_err(|_| Problem::no_randomness())?;
    Ok(hex::encode(bytes))
}

impl Ticket {
    /// Returns a ticket with another nonce, for the browser that has opened the address. It no longer needs the name of
    /// the customer.
    pub(crate) fn for_browser(&self) -> Result<Self, Problem> {
        Ok(Self { nonce: random_digits::<32>()?, customer_name: None, ..self.clone() })
    }

    /// Returns the text of the ticket, which needs no encoding in an address or in a cookie.
    pub(crate) fn to_text(&self) -> Secret {
        // The ticket contains only texts, so it can always be serialized.
        Secret::from(URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default()))
    }

    /// Reads a text that a browser has sent. The content is not trusted before the storage has found the digest of the
    /// text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TICKET_BYTES { None } else { decoded(text) }
    }

    /// Returns whether the record is what the service has stored for this address. `secret` is the text of the ticket.
    fn fits(&self, secret: &str, state: &StateDigest, record: &ConsentRecord) -> bool {
        Self::browser_session(secret).is_some_and(|browser| binding(&self.tenant, state, &browser).fits(record))
    }

    /// Returns the ticket as the secret of a browser session.
    pub(crate) fn browser_session(text: &str) -> Option<BrowserSession> {
        BrowserSession::new(text.into())
    }
}

fn decoded<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// Returns the binding of an address to its secret.
const fn binding<'a>(tenant: &'a TenantId, state: &'a StateDigest, secret: &'a BrowserSession) -> ConsentBinding<'a> {
    ConsentBinding { purpose: RecordPurpose::ConnectSession, tenant, state, browser: secret }
}

/// The digest under which the storage finds a session by its id.
fn of_session(id: &str) -> StateDigest {
    StateDigest::of(&format!("connect-session {id}").into())
}

/// The digest under which the storage finds the outcome of a session.
fn of_outcome(id: &str, outcome: Outcome) -> StateDigest {
    StateDigest::of(&format!("connect-session {id} {}", outcome.as_str()).into())
}

/// Begins a session. Returns its id and the secret part of its address.
pub(crate) async fn begin(
    storage: &dyn HostStorage,
    tenant: &TenantId,
    actor: &Actor,
    wanted: Wanted,
) -> Result<(String, Secret), Problem> {
    let session = format!("cs_{}", random_digits::<16>()?);
    let ticket = Ticket {
        tenant: tenant.clone(),
        session,
        actor: actor.clone(),
        return_to: wanted.return_to,
        customer_name: wanted.customer_name,
        nonce: random_digits::<32>()?,
    };
    // Both records have the form of a consent that has begun. No browser has the digest of the first one, and the
    // second one has another purpose than a consent. So no callback can finish them.
    let mut nobody = [0; 32];
    SystemRandomness.fill(&mut nobody).map_err(|_| Problem::no_randomness())?;
    let Wanted { customer, app, shops, .. } = wanted;
    let secret = ticket.to_text();
    let state = StateDigest::of(&secret);
    let browser = Ticket::browser_session(secret.expose()).ok_or_else(Problem::internal)?;
    let address = binding(tenant, &state, &browser).record(customer, app, shops);
    let session = ConsentRecord { browser: BrowserDigest::new(nobody), ..address.clone() };
    in_time(storage.put_state(tenant, &of_session(&ticket.session), &session)).await?;
    in_time(storage.put_state(tenant, &state, &address)).await?;
    Ok((ticket.session, secret))
}

/// Finds an address that can be opened, and does not open it.
pub(crate) async fn find(storage: &dyn HostStorage, secret: &str) -> Result<Opened, NotOpened> {
    let ticket = Ticket::parse(secret).ok_or(NotOpened::Ended)?;
    let state = StateDigest::of(&secret.into());
    let found = in_time(storage.load_state(&ticket.tenant, &state)).await?;
    let StoredConsent { record, age, used } = found.ok_or(NotOpened::Ended)?;
    if !ticket.fits(secret, &state, &record) {
        tracing::error!(
            session = ticket.session,
            "the record of a connect session was changed in the storage, or a service of an earlier release has made it"
        );
        return Err(NotOpened::Ended);
    }
    if used || age > ADDRESS_LIFE { Err(NotOpened::Ended) } else { Ok(Opened { ticket, record }) }
}

/// Opens an address. Of any number of requests, exactly one opens it.
pub(crate) async fn open(storage: &dyn HostStorage, secret: &str) -> Result<Opened, NotOpened> {
    let opened = find(storage, secret).await?;
    let (tenant, digest) = (&opened.ticket.tenant, StateDigest::of(&secret.into()));
    if !in_time(storage.use_state(tenant, &digest)).await? {
        return Err(NotOpened::Ended);
    }
    if let Err(error) = in_time(storage.use_state(tenant, &of_session(&opened.ticket.session))).await {
        // The page asks the seller to open the address again, so it must be usable again.
        close_again(storage, &opened.ticket, secret).await;
        return Err(error.into());
    }
    Ok(opened)
}

/// Makes an address usable again, because no consent has begun.
pub(crate) async fn close_again(storage: &dyn HostStorage, ticket: &Ticket, secret: &str) {
    let (tenant, digest) = (&ticket.tenant, StateDigest::of(&secret.into()));
    for digest in [digest, of_session(&ticket.session)] {
        if let Err(error) = in_time(storage.release_state(tenant, &digest)).await {
            tracing::warn!(%error, "the address of a connect session stays used, although no consent has begun");
        }
    }
}

/// Records how a session ended. If this fails, the platform can't ask for the outcome. Nothing else is lost.
pub(crate) async fn end(storage: &dyn HostStorage, ticket: &Ticket, end: &End) {
    let Ticket { tenant, session, .. } = ticket;
    let recorded = async {
        let Some(found) = in_time(storage.load_state(tenant, &of_session(session))).await? else { return Ok(()) };
        let browser = end.failure.as_ref().and_then(FailedConsent::to_digest).unwrap_or(found.record.browser);
        let record = ConsentRecord { browser, ..found.record };
        in_time(storage.put_state(tenant, &of_outcome(session, end.outcome), &record)).await
    };
    match recorded.await {
        // `Refused` means that the same outcome is already recorded.
        Ok(()) | Err(StorageError::Refused(_)) => {}
        Err(error) => tracing::warn!(%error, "the outcome of a connect session was not recorded"),
    }
}

/// Returns the state of a session of this customer. `None` if the customer has no such session, or if it began more
/// than an hour ago.
pub(crate) async fn state(
    storage: &dyn HostStorage,
    tenant: &TenantId,
    customer: &CustomerId,
    id: &str,
) -> Result<Option<Progress>, StorageError> {
    let found = in_time(storage.load_state(tenant, &of_session(id))).await?;
    let Some(StoredConsent { record, age, used }) = found.filter(|found| found.record.customer == *customer) else {
        return Ok(None);
    };
    if let Some(end) = recorded(storage, tenant, id, &record).await? {
        return Ok(Some(Progress::Ended(end)));
    }
    Ok(Some(match used {
        false if age <= ADDRESS_LIFE => Progress::Waiting,
        true if age <= ADDRESS_LIFE + CONSENT_LIFE => Progress::Opened,
        false | true => Progress::Expired,
    }))
}

/// Returns how the session of a ticket ended. `None` if no outcome is recorded.
pub(crate) async fn ended(storage: &dyn HostStorage, ticket: &Ticket) -> Result<Option<End>, StorageError> {
    let Ticket { tenant, session, .. } = ticket;
    let Some(found) = in_time(storage.load_state(tenant, &of_session(session))).await? else { return Ok(None) };
    recorded(storage, tenant, session, &found.record).await
}

/// Returns how a session with this record ended. `None` if no outcome is recorded.
async fn recorded(
    storage: &dyn HostStorage,
    tenant: &TenantId,
    id: &str,
    record: &ConsentRecord,
) -> Result<Option<End>, StorageError> {
    for outcome in Outcome::ALL {
        let known = in_time(storage.load_state(tenant, &of_outcome(id, outcome))).await?;
        if let Some(known) = known.filter(|known| known.record.customer == record.customer) {
            let failure = match outcome {
                Outcome::Connected => None,
                Outcome::Refused | Outcome::Failed => FailedConsent::of_digest(&known.record.browser),
            };
            return Ok(Some(End { outcome, failure }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tiktok_shop_host::clock::Clock;
    use tiktok_shop_host::storage::{Access, ConsentStorage as _, Intercepted, Interceptor, MemoryStorage, Passage};

    use super::*;
    use crate::problem::Next;

    /// A clock that stands still until a test moves it.
    #[derive(Default)]
    struct Still(AtomicU64);

    impl Clock for Still {
        fn wall(&self) -> Duration {
            self.monotonic()
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    struct Stage {
        clock: Arc<Still>,
        storage: Arc<MemoryStorage>,
        tenant: TenantId,
        customer: CustomerId,
    }

    impl Stage {
        fn new() -> Self {
            let clock = Arc::new(Still::default());
            let storage = Arc::new(MemoryStorage::new(clock.clone()));
            Self { clock, storage, tenant: "acme".parse().unwrap(), customer: "customer-7".parse().unwrap() }
        }

        async fn begin(&self) -> (String, Secret) {
            let return_to = Some("https://app.example/connected".to_owned());
            let customer_name = Some("Alpine Teapots".to_owned());
            let customer = self.customer.clone();
            let wanted = Wanted { customer, app: None, shops: ShopPolicy::All, return_to, customer_name };
            begin(&*self.storage, &self.tenant, &"key".parse().unwrap(), wanted).await.unwrap()
        }

        async fn state(&self, id: &str) -> Option<&'static str> {
            state(&*self.storage, &self.tenant, &self.customer, id).await.unwrap().map(|progress| progress.as_str())
        }

        async fn is_opened(&self, secret: &str) -> bool {
            open(&*self.storage, secret).await.is_ok()
        }

        fn pass(&self, time: Duration) {
            self.clock.0.fetch_add(time.as_secs(), Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn an_address_is_opened_once_and_carries_what_the_platform_asked_for() {
        let stage = Stage::new();
        let (id, secret) = stage.begin().await;
        assert_eq!(stage.state(&id).await, Some("waiting"));
        let opened = open(&*stage.storage, secret.expose()).await.ok().unwrap();
        assert_eq!(opened.record.customer, stage.customer);
        assert_eq!(opened.ticket.return_to.as_deref(), Some("https://app.example/connected"));
        assert_eq!(stage.state(&id).await, Some("opened"));
        assert!(!stage.is_opened(secret.expose()).await);
        close_again(&*stage.storage, &opened.ticket, secret.expose()).await;
        assert_eq!(stage.state(&id).await, Some("waiting"));
        assert!(stage.is_opened(secret.expose()).await);
    }

    #[tokio::test]
    async fn a_changed_address_is_unknown() {
        let stage = Stage::new();
        let (_, secret) = stage.begin().await;
        let ticket = Ticket::parse(secret.expose()).unwrap();
        let other_return = Ticket { return_to: Some("https://evil.example/".to_owned()), ..ticket.clone() };
        let other_tenant = Ticket { tenant: "other".parse().unwrap(), ..ticket.clone() };
        let other_name = Ticket { customer_name: Some("Bank".to_owned()), ..ticket.clone() };
        let no_name = Ticket { customer_name: None, ..ticket.clone() };
        for changed in [other_return, other_tenant, other_name, no_name, ticket.for_browser().unwrap()] {
            assert!(!stage.is_opened(changed.to_text().expose()).await);
        }
        for malformed in ["", "e30", "not base64!", &"A".repeat(5000)] {
            assert!(!stage.is_opened(malformed).await, "{malformed}");
        }
        assert!(stage.is_opened(secret.expose()).await);
    }

    #[tokio::test]
    async fn an_address_ends_after_half_an_hour() {
        let stage = Stage::new();
        let (id, secret) = stage.begin().await;
        stage.pass(ADDRESS_LIFE);
        assert_eq!(stage.state(&id).await, Some("waiting"));
        stage.pass(Duration::from_secs(1));
        assert_eq!(stage.state(&id).await, Some("expired"));
        assert!(!stage.is_opened(secret.expose()).await);
    }

    #[tokio::test]
    async fn an_outcome_is_known_to_the_sessions_customer_only() {
        let stage = Stage::new();
        let (id, secret) = stage.begin().await;
        let opened = open(&*stage.storage, secret.expose()).await.ok().unwrap();
        for _ in 0..2 {
            end(&*stage.storage, &opened.ticket, &refused()).await;
        }
        assert_eq!(stage.state(&id).await, Some("refused"));
        let other: CustomerId = "customer-8".parse().unwrap();
        assert_eq!(state(&*stage.storage, &stage.tenant, &other, &id).await.unwrap(), None);
        let tenant: TenantId = "other".parse().unwrap();
        assert_eq!(state(&*stage.storage, &tenant, &stage.customer, &id).await.unwrap(), None);
        assert_eq!(stage.state("cs_unknown").await, None);
    }

    #[tokio::test]
    async fn an_address_is_found_any_number_of_times_and_is_still_unopened() {
        let stage = Stage::new();
        let (id, secret) = stage.begin().await;
        for _ in 0..2 {
            let found = find(&*stage.storage, secret.expose()).await.ok().unwrap();
            assert_eq!(found.ticket.customer_name.as_deref(), Some("Alpine Teapots"));
        }
        assert_eq!(stage.state(&id).await, Some("waiting"));
        let opened = open(&*stage.storage, secret.expose()).await.ok().unwrap();
        assert!(matches!(find(&*stage.storage, secret.expose()).await, Err(NotOpened::Ended)));
        assert_eq!(opened.ticket.for_browser().unwrap().customer_name, None);
    }

    /// Answers `load_state` from another storage.
    struct Changed(Arc<MemoryStorage>);

    #[async_trait::async_trait]
    impl Interceptor for Changed {
        async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
            if access.method() == "load_state" { Passage::ForwardTo(self.0.clone()) } else { Passage::Forward }
        }
    }

    /// A person who can write to the storage changes the record of an address that the seller has not opened yet.
    #[tokio::test]
    async fn an_address_whose_record_was_changed_in_the_storage_is_not_opened() {
        let stage = Stage::new();
        let (_, secret) = stage.begin().await;
        let state = StateDigest::of(&secret);
        let record = stage.storage.load_state(&stage.tenant, &state).await.unwrap().unwrap().record;
        for changed in [
            ConsentRecord { customer: "mallory".parse().unwrap(), ..record.clone() },
            ConsentRecord { app: Some("6fakeapp00002".parse().unwrap()), ..record.clone() },
            ConsentRecord { shops: ShopPolicy::ExactlyOne, ..record.clone() },
        ] {
            let storage = Arc::new(MemoryStorage::new(stage.clock.clone()));
            storage.put_state(&stage.tenant, &state, &changed).await.unwrap();
            let storage = Intercepted::new(stage.storage.clone(), Arc::new(Changed(storage)));
            for outcome in [find(&storage, secret.expose()).await, open(&storage, secret.expose()).await] {
                assert!(matches!(outcome, Err(NotOpened::Ended)), "{changed:?}");
            }
        }
        assert!(stage.is_opened(secret.expose()).await, "the refused addresses were not used up");
    }

    #[test]
    fn an_address_of_an_earlier_release_names_no_customer_and_is_read() {
        let text = URL_SAFE_NO_PAD.encode(r#"{"t":"acme","s":"cs_1","a":"key","r":null,"n":"00"}"#);
        assert_eq!(Ticket::parse(&text).unwrap().customer_name, None);
    }

    /// Fails the second time that something is marked as used.
    #[derive(Default)]
    struct FailsTheSecondMark(AtomicU64);

    #[async_trait::async_trait]
    impl Interceptor for FailsTheSecondMark {
        async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
            if access.method() == "use_state" && self.0.fetch_add(1, Ordering::Relaxed) == 1 {
                Passage::Fail(StorageError::Unavailable("down".to_owned()))
            } else {
                Passage::Forward
            }
        }
    }

    #[tokio::test]
    async fn an_address_can_be_opened_again_if_the_session_could_not_be_marked() {
        let stage = Stage::new();
        let (id, secret) = stage.begin().await;
        let failing = Intercepted::new(stage.storage.clone(), Arc::new(FailsTheSecondMark::default()));
        let failed = open(&failing, secret.expose()).await.err().unwrap();
        assert!(matches!(failed, NotOpened::Storage(StorageError::Unavailable(_))), "{failed:?}");
        assert_eq!(stage.state(&id).await, Some("waiting"));
        assert!(open(&failing, secret.expose()).await.is_ok());
        assert_eq!(stage.state(&id).await, Some("opened"));
    }

    fn refused() -> End {
        let failure = FailedConsent { next: Next::Reauthorize, code: "consent-refused".to_owned() };
        End { outcome: Outcome::Refused, failure: Some(failure) }
    }

    #[tokio::test]
    async fn the_end_of_a_session_is_unknown_until_it_is_recorded() {
        let stage = Stage::new();
        let (_, secret) = stage.begin().await;
        let opened = open(&*stage.storage, secret.expose()).await.ok().unwrap();
        assert_eq!(ended(&*stage.storage, &opened.ticket).await.unwrap(), None);
        end(&*stage.storage, &opened.ticket, &refused()).await;
        assert_eq!(ended(&*stage.storage, &opened.ticket).await.unwrap(), Some(refused()));
    }

    /// A process of an earlier release records the outcome without a failure.
    #[tokio::test]
    async fn an_outcome_without_a_failure_is_known() {
        let stage = Stage::new();
        let (_, secret) = stage.begin().await;
        let opened = open(&*stage.storage, secret.expose()).await.ok().unwrap();
        let failed = End { outcome: Outcome::Failed, failure: None };
        end(&*stage.storage, &opened.ticket, &failed).await;
        assert_eq!(ended(&*stage.storage, &opened.ticket).await.unwrap(), Some(failed));
    }
}
