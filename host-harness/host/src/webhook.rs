//! Receives TikTok Shop's webhooks: checks the signature, drops repetitions, passes the event to the platform, and says
//! which HTTP status to answer.
//!
//! The host checks the signature itself, before it takes an instance of the component, asks the storage or copies the
//! body. So a forged webhook costs little more than the hashes of its body. The host hashes the body in the place in
//! which it has asked for the tenant's credentials, so a tenant's share limits this work, too, and on a thread for
//! blocking work, so the hashes do not hold up other calls. The component checks the signature again.
//!
//! Then the host reads the id of the event, and asks the storage whether the event was handled before. If it was, the
//! component does not get it: an event that has already taken effect must not take effect again. For example, a removal
//! must not make a second refresh due after the first one has verified it.
//!
//! To check a signature, the host needs the tenant's credentials. The tenant comes from the address of the request, so
//! anybody can invent one. Webhooks of tenants that the host does not know yet therefore share a few places, and only
//! in these places they ask the provider of credentials. They never wait together with webhooks of known tenants. A
//! tenant becomes known when a call or a sweep of this host finds something of it in the storage, when a call gets its
//! credentials, or when one of its webhooks has a right signature. After a start of the host, the first webhook of a
//! tenant may have to wait in a flood of invented tenants. TikTok repeats it.
//!
//! TikTok Shop expects an answer within 3 seconds. If the answer is not 200, TikTok Shop sends the webhook again after
//! 2 minutes, 30 minutes, 3 hours and 12 hours (partner.tiktokshop.com/docv2/page/tts-webhooks-overview, 2026).

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::error::{Cause, Error as CoreError};
use tiktok_shop_connector_core::operation::receive_webhook::check_signature;
use tiktok_shop_connector_core::operation::{no_credentials, storage_error};
pub use tiktok_shop_connector_core::signing::has_the_form_of_a_signature;
use tiktok_shop_connector_core::time::UnixSeconds as CoreSeconds;
use tiktok_shop_connector_core::webhook::{Notification, counts_as_handled};
use tracing::Instrument as _;

use crate::connection::{ConnectionKey, UnixSeconds};
use crate::credentials::AppCredentials;
use crate::error::{Action, CallError, ConnectorError, Plugin, codes};
use crate::events::Cause as EventCause;
use crate::guest::{CallLog, Operation, Prepared, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AppKey, ShopId, TenantId};
use crate::storage::{StorageError, WebhookDigest, run_within};
use crate::words::words;

/// How much of TikTok's 3 seconds may pass before the platform gets the event: 2 seconds.
pub(crate) const TIME_BEFORE_HANDLING: Duration = Duration::from_secs(2);

/// What an event changed in the stored connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookEffect {
    /// Nothing changed. The event has a type that changes no connection, or no connection contains the shop, or the
    /// event is older than the latest consent.
    None,
    /// The seller has removed shops from the app. A `refresh` is now due, and it checks whether the authorization still
    /// works.
    VerificationDue,
    /// The authorization ends soon. The connection's status says so.
    AuthorizationEnding,
}

words! {
    WebhookEffect {
        None => "none",
        VerificationDue => "verification-due",
        AuthorizationEnding => "authorization-ending",
    }
}

/// A connection that contains the shop of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookOwner {
    /// The connection.
    pub key: ConnectionKey,
    /// Whether the customer may use the shop now: the shop is linked, its standing is granted or inactive, and the
    /// connection does not need a new consent. Show the event only to customers who may use the shop.
    pub may_use: bool,
}

/// An event that TikTok has signed, and the connections that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The app whose secret signed the webhook.
    pub app: AppKey,
    /// The notification's id, which is the same in every repetition. `None` if TikTok sent no id.
    pub notification_id: Option<String>,
    /// TikTok's number for the type of event. TikTok may introduce new numbers.
    pub event_type: u32,
    /// The shop that the event concerns. `None` if the event concerns no shop.
    pub shop: Option<ShopId>,
    /// When the event happened. TikTok sends the webhook later.
    pub occurred_at: Option<UnixSeconds>,
    /// The member `data` of the body, as unchanged JSON. `null` if TikTok sent no `data`.
    pub data: String,
    /// All connections under this app that contain the shop, of all customers.
    pub owners: Vec<WebhookOwner>,
    /// What the event changed in the stored connections.
    pub effect: WebhookEffect,
}

/// The result of [`ConnectorHost::accept_webhook`]. Answer TikTok with [`status`](Self::status) and an empty body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookReply<E> {
    /// The platform has handled the event.
    Handled,
    /// The platform had handled the event before. An event that happened more than two days ago also gets this reply:
    /// see [`accept_webhook`](ConnectorHost::accept_webhook).
    Repeated,
    /// The signature was not made with a current or previous secret of the tenant's apps.
    Forged,
    /// TikTok has signed the body, but the connector can't read it as an event. TikTok sends the webhook again, so no
    /// event is lost while somebody looks for the reason. Show the error to an operator. The host logs this error.
    Malformed(ConnectorError),
    /// The body is larger than [`Limits::webhook_body_bytes`](crate::limits::Limits::webhook_body_bytes). The connector
    /// did not read the body.
    TooLarge,
    /// The platform could not handle the event.
    NotHandled(E),
    /// The connector could not read the event or find its owners.
    NotReceived(CallError),
    /// The storage could not say whether the event was handled before.
    NotRead(StorageError),
    /// The connector or the storage took too long. The work that has begun continues. It is probably done when TikTok
    /// sends the webhook again.
    Late,
}

impl<E> WebhookReply<E> {
    /// Returns the HTTP status of the answer. TikTok sends the webhook again after every status except 200.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Handled | Self::Repeated => 200,
            Self::Forged => 401,
            Self::TooLarge => 413,
            Self::Malformed(_) | Self::NotHandled(_) => 500,
            Self::NotReceived(_) | Self::NotRead(_) | Self::Late => 503,
        }
    }

    /// Returns a short name of the reply, for counting.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Repeated => "repeated",
            Self::Forged => "forged",
            Self::Malformed(_) => "malformed",
            Self::TooLarge => "too-large",
            Self::NotHandled(_) => "not-handled",
            Self::NotReceived(_) => "not-received",
            Self::NotRead(_) => "not-read",
            Self::Late => "late",
        }
    }
}

impl ConnectorHost {
    /// Checks the signature of a webhook of an app of the tenant, finds the connections that the event concerns, and
    /// records the effect of the event on them. `authorization` is the value of the header `Authorization`, and `body`
    /// is the whole body as it arrived. If `app` is `None`, the secrets of all apps of the tenant are tried. Sends no
    /// request. A repeated call changes nothing more until a `refresh` has verified a removal; after that, the same
    /// removal is verified again. [`accept_webhook`](Self::accept_webhook) knows which webhooks were handled, so it
    /// does not verify a removal again.
    ///
    /// # Errors
    /// See [`CallError`]. `InvalidRequest` with the code `webhook-signature-invalid` means that the signature was not
    /// made with a current or previous secret of these apps.
    pub async fn receive_webhook(
        &self,
        tenant: &TenantId,
        app: Option<&AppKey>,
        authorization: &str,
        body: Vec<u8>,
    ) -> Result<Webhook, CallError> {
        let signed = self.check(tenant, app, authorization, body).await?;
        self.receive(signed, authorization).await
    }

    /// Checks the signature of a webhook. Takes no instance.
    async fn check(
        &self,
        tenant: &TenantId,
        app: Option<&AppKey>,
        authorization: &str,
        body: Vec<u8>,
    ) -> Result<VerifiedWebhook, CallError> {
        let scope = Scope::for_webhook(tenant, self.origin(EventCause::Webhook));
        let log = self.log(Operation::ReceiveWebhook, &scope, None);
        match self.check_signature(&log, &scope, app, authorization, body).await {
            Ok((content, prepared)) => Ok(VerifiedWebhook { log, scope, content, prepared }),
            Err(error) => log.end(Err(error)).map(|never: Infallible| match never {}),
        }
    }

    /// Lets the component receive a webhook whose signature is right.
    async fn receive(&self, signed: VerifiedWebhook, authorization: &str) -> Result<Webhook, CallError> {
        let VerifiedWebhook { log, scope, content: Content { app, body, .. }, prepared } = signed;
        let (named, authorization) = (String::from(app), authorization.to_owned());
        let secrets = Secrets::default();
        self.sandbox
            .call_prepared(log, scope, secrets, prepared, Webhook::try_from, move |guest, wasm_store| {
                async move { guest.receive_webhook(wasm_store, Some(&named), &authorization, &body).await }.boxed()
            })
            .await
    }

    /// Checks the size and the signature of a webhook, and reads its event. Takes no instance. Asks the storage only if
    /// the signature is right, and only for the environment to which the storage belongs.
    async fn check_signature(
        &self,
        log: &CallLog,
        scope: &Scope,
        app: Option<&AppKey>,
        authorization: &str,
        body: Vec<u8>,
    ) -> Result<(Content, Prepared), CallError> {
        let refused = |error: CoreError| CallError::Connector(ConnectorError::from_core(self.plugin().clone(), &error));
        let max = self.sandbox.limits.max_webhook_bytes();
        if body.len() > max {
            let note = format!("this host reads at most {max} bytes");
            return Err(refused(CoreError::new(Cause::WebhookMalformed).with_note(&note)));
        }
        // Most forged webhooks are refused here, before the host asks the provider of credentials.
        if !has_the_form_of_a_signature(authorization.as_bytes()) {
            return Err(refused(CoreError::new(Cause::WebhookSignatureInvalid)));
        }
        let mut wait = self.sandbox.deadlines.queue;
        let (fetched, place) = self.sandbox.fetch_credentials(log, scope, &mut wait).await?;
        let apps = fetched.as_ref().map_err(|error| refused(no_credentials(error.clone().into())))?;
        let named = |candidate: &&AppCredentials| app.is_none_or(|app| app.as_str() == candidate.app_key);
        let candidates: Vec<_> = apps.iter().filter(named).map(Credentials::from).collect();
        if candidates.is_empty() {
            return Err(refused(CoreError::new(Cause::AppUnknown)));
        }
        let authorization = authorization.to_owned();
        let hashing = tokio::task::spawn_blocking(move || {
            // The place is free after the last hash, even if the caller has stopped waiting.
            let _place = place;
            let signed_by = check_signature(&candidates, authorization.as_bytes(), &body).map(str::to_owned);
            signed_by.map(|app| (app, Notification::read(&body), body))
        });
        let hashed = hashing.await.map_err(|_panic| CallError::Aborted { plugin: self.plugin().clone() })?;
        let (app, notification, body) = hashed.map_err(refused)?;
        let app = app.parse().map_err(|_| refused(CoreError::new(Cause::CredentialsRefused)))?;
        self.sandbox.remember_tenant(&scope.tenant);
        let checked = self.sandbox.check_environment().await;
        checked.map_err(|error| refused(no_credentials(error.into())))?;
        Ok((Content { app, notification, body }, Prepared { credentials: Some(fetched), wait }))
    }

    /// Receives a webhook of an app of the tenant as [`receive_webhook`](Self::receive_webhook) does, and passes it to
    /// `handle` unless it was handled before. If `handle` succeeds, the webhook is remembered as handled.
    /// `authorization` is the value of the header `Authorization`, or empty if the header is missing.
    ///
    /// An event that happened more than two days ago counts as handled, so that nobody can replay a recorded webhook
    /// after the storage has forgotten it. TikTok's last repetition comes 15.5 hours after the first delivery. This
    /// rule does not apply to an event without a time, or with a time before 2020 or in the future.
    ///
    /// `handle` should store or queue the event within one second, and show it only to owners that
    /// [may use](WebhookOwner::may_use) the shop.
    ///
    /// Each event is handled at least once. `handle` can get an event twice if two deliveries arrive at the same
    /// moment, if `handle` stored the event but returned an error, or if the storage could not remember the event.
    pub async fn accept_webhook<E, F>(
        &self,
        tenant: &TenantId,
        app: Option<&AppKey>,
        authorization: &str,
        body: Vec<u8>,
        handle: impl FnOnce(Webhook) -> F,
    ) -> WebhookReply<E>
    where
        F: Future<Output = Result<(), E>>,
    {
        let event_type = Arc::new(OnceLock::new());
        let reply = self.reply_to_webhook(tenant, app, authorization, body, Arc::clone(&event_type), handle).await;
        self.sandbox.metrics.webhook(event_type.get().copied(), reply.as_str());
        reply
    }

    /// Does what [`accept_webhook`](Self::accept_webhook) promises, and tells the type of the event if it learns it.
    async fn reply_to_webhook<E, F>(
        &self,
        tenant: &TenantId,
        app: Option<&AppKey>,
        authorization: &str,
        body: Vec<u8>,
        event_type: Arc<OnceLock<u32>>,
        handle: impl FnOnce(Webhook) -> F,
    ) -> WebhookReply<E>
    where
        F: Future<Output = Result<(), E>>,
    {
        if body.len() > self.sandbox.limits.max_webhook_bytes() {
            return WebhookReply::TooLarge;
        }
        let (host, named, authorization) = (self.clone(), tenant.clone(), authorization.to_owned());
        let app = app.cloned();
        // The work runs on its own task, so that it continues after the time limit. A slow provider of credentials can
        // then still answer and cache its answer for the next delivery.
        let new = async move { host.new_webhook(&named, app.as_ref(), &authorization, body, &event_type).await };
        let new = tokio::spawn(new.in_current_span());
        let new = tokio::time::timeout(TIME_BEFORE_HANDLING, new);
        let (digest, webhook) = match new.await {
            Ok(Ok(Ok(new))) => new,
            Ok(Ok(Err(reply))) => return before_handling(reply),
            Ok(Err(_panic)) => return WebhookReply::NotReceived(CallError::Aborted { plugin: self.plugin().clone() }),
            Err(_late) => return WebhookReply::Late,
        };
        if let Err(error) = handle(webhook).await {
            return WebhookReply::NotHandled(error);
        }
        let remembered = run_within(self.storage_timeout(), self.storage().remember_webhook(tenant, &digest)).await;
        if let Err(error) = remembered {
            tracing::warn!(tenant = tenant.as_str(), %error, "a webhook was handled, but could not be remembered");
        }
        WebhookReply::Handled
    }

    /// Receives a webhook. If the webhook was not handled before, returns the webhook and the digest by which it is
    /// remembered. Otherwise returns the reply for TikTok.
    async fn new_webhook(
        &self,
        tenant: &TenantId,
        app: Option<&AppKey>,
        authorization: &str,
        body: Vec<u8>,
        event_type: &OnceLock<u32>,
    ) -> Result<(WebhookDigest, Webhook), WebhookReply<Infallible>> {
        let bytes = body.len();
        let refused = |error| {
            let reply = not_received(error);
            if let WebhookReply::Malformed(error) = &reply {
                tracing::error!(tenant = tenant.as_str(), bytes, %error, "TikTok signed a webhook that can't be read");
            }
            reply
        };
        let signed = self.check(tenant, app, authorization, body).await.map_err(refused)?;
        let digest = signed.content.digest();
        if let Some(notification) = &signed.content.notification {
            event_type.get_or_init(|| notification.event_type);
            let now = self.sandbox.clock.wall().as_secs();
            if counts_as_handled(notification.occurred, CoreSeconds::new(now)) {
                // If every webhook looks too old, the clock of this machine is ahead. This warning lets an operator
                // find that.
                let occurred = notification.occurred.map(CoreSeconds::seconds);
                tracing::warn!(
                    tenant = tenant.as_str(),
                    occurred,
                    now,
                    "a webhook counts as handled, because it is old"
                );
                return Err(signed.repeated());
            }
        }
        let known = run_within(self.storage_timeout(), self.storage().knows_webhook(tenant, &digest)).await;
        let known = match known {
            Ok(known) => known,
            Err(error) => return Err(signed.not_read(error, self.plugin())),
        };
        if known {
            return Err(signed.repeated());
        }
        // If the event can't be read, the component says so.
        Ok((digest, self.receive(signed, authorization).await.map_err(refused)?))
    }
}

/// A webhook whose signature is right.
struct VerifiedWebhook {
    log: CallLog,
    scope: Scope,
    content: Content,
    prepared: Prepared,
}

impl VerifiedWebhook {
    /// Ends the work, because the storage could not say whether the webhook was handled before.
    fn not_read(self, error: StorageError, plugin: &Plugin) -> WebhookReply<Infallible> {
        let shown = ConnectorError::from_core(plugin.clone(), &storage_error(error.clone().into()));
        drop(self.log.end(Err::<(), _>(CallError::Connector(shown))));
        WebhookReply::NotRead(error)
    }

    /// Ends the work for a webhook that was handled before. The component does not get it.
    fn repeated(self) -> WebhookReply<Infallible> {
        // The log ends without an error, so there is nothing to return.
        drop(self.log.end(Ok("handled before")));
        WebhookReply::Repeated
    }
}

/// What TikTok has signed.
struct Content {
    /// The app whose secret signed the webhook.
    app: AppKey,
    /// `None` if the body is not an event.
    notification: Option<Notification>,
    body: Vec<u8>,
}

impl Content {
    /// Returns the digest by which the storage remembers the webhook.
    fn digest(&self) -> WebhookDigest {
        let id = self.notification.as_ref().and_then(|notification| notification.id.as_deref());
        id.map_or_else(|| WebhookDigest::of_body(&self.app, &self.body), |id| WebhookDigest::of_id(&self.app, id))
    }
}

/// Changes the type of a reply to the caller's type. The reply was decided before the platform got the event.
fn before_handling<E>(reply: WebhookReply<Infallible>) -> WebhookReply<E> {
    match reply {
        WebhookReply::Handled => WebhookReply::Handled,
        WebhookReply::Repeated => WebhookReply::Repeated,
        WebhookReply::Forged => WebhookReply::Forged,
        WebhookReply::Malformed(error) => WebhookReply::Malformed(error),
        WebhookReply::TooLarge => WebhookReply::TooLarge,
        WebhookReply::NotHandled(never) => match never {},
        WebhookReply::NotReceived(error) => WebhookReply::NotReceived(error),
        WebhookReply::NotRead(error) => WebhookReply::NotRead(error),
        WebhookReply::Late => WebhookReply::Late,
    }
}

/// Converts an error into a reply. Distinguishes a wrong signature from a body that is not an event. Both errors have
/// the action `InvalidRequest`, so the code of the error decides.
fn not_received(error: CallError) -> WebhookReply<Infallible> {
    match error {
        CallError::Connector(error) if error.failure().code == codes::WEBHOOK_SIGNATURE_INVALID => WebhookReply::Forged,
        CallError::Connector(error) if error.action() == Action::InvalidRequest => WebhookReply::Malformed(error),
        error @ (CallError::Connector(_)
        | CallError::Trapped { .. }
        | CallError::DeadlineExceeded { .. }
        | CallError::Exhausted { .. }
        | CallError::ContractBroken { .. }
        | CallError::Busy { .. }
        | CallError::NoRandomness { .. }
        | CallError::NotRecorded { .. }
        | CallError::Aborted { .. }) => WebhookReply::NotReceived(error),
    }
}
