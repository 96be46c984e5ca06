//! The control interface in Rust: code in the same process, for example a test, changes the fake and reads its state.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::net::lookup_host;

use crate::app::App;
use crate::clock::Clock;
use crate::consent::Decision;
use crate::fault::{Fault, FaultScript};
use crate::grants::{GrantKey, GrantReport};
use crate::host_names::HostNames;
use crate::issued::{Issued, IssuedSecret};
use crate::marketplace::Marketplace;
use crate::request_log::RequestRecord;
use crate::seller::{Seller, Shop};
use crate::signature::sign_webhook;
use crate::switches::{DeauthorizeNotice, Switches};
use crate::webhook::{Notice, WebhookDelivery, WebhookFate, WebhookReport, post};

/// A handle that changes and reads a running fake: its clock, switches, sellers, grants and recorded requests.
///
/// The handle is cheap to clone. An app is identified by its `service_id`, a seller by its [`Seller::id`].
#[derive(Clone)]
pub struct Control {
    marketplace: Arc<Mutex<Marketplace>>,
    address: SocketAddr,
    hosts: Arc<HostNames>,
}

/// The reason why an operation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The seller has not authorized the app, or the authorization was revoked.
    #[error("the app has no authorization by {0:?}")]
    NotAuthorized(String),
    /// The address is not on this machine. A fake that listens on loopback posts webhooks to this machine only.
    #[error("{0} is not an address of this machine; a fake that was started with --listen also posts elsewhere")]
    NotLoopback(SocketAddr),
    /// No refresh token of the seller works, so there is nothing to rotate.
    #[error("no refresh token of {0:?} works")]
    NoWorkingToken(String),
    /// The grant covers this shop already.
    #[error("the grant covers the shop {0:?} already")]
    ShopGranted(String),
    /// A shop with this id exists already.
    #[error("a shop {0:?} exists already")]
    ShopExists(String),
    /// No app has this `app_key`.
    #[error("no app with the app key {0:?}")]
    UnknownAppKey(String),
    /// The fake has never issued this refresh token.
    #[error("no such refresh token")]
    UnknownRefreshToken,
    /// No seller has this id.
    #[error("no seller {id:?}; the sellers are {}", first_of(.sellers))]
    UnknownSeller {
        /// The id.
        id: String,
        /// The ids of all sellers.
        sellers: Vec<String>,
    },
    /// No app has this `service_id`.
    #[error("no app with the service id {0:?}")]
    UnknownService(String),
    /// The seller has no shop with this id, or the grant does not cover this shop.
    #[error("the seller has no shop {0:?}")]
    UnknownShop(String),
    /// The text is not an IP address or a host name with a port, or the host name has no IP address.
    #[error("{0:?} is not the address of a receiver, for example 127.0.0.1:3000")]
    UnknownReceiver(String),
    /// The fake does not remember a webhook with this number.
    #[error("no webhook {0} is remembered")]
    ForgottenWebhook(u64),
    /// No webhook with this number is waiting for an answer.
    #[error("no webhook {0} is waiting")]
    UnknownWebhook(u64),
}

/// Returns the ids of the first sellers, and how many more there are.
fn first_of(sellers: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = sellers.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match sellers.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl Control {
    pub(crate) fn new(marketplace: Marketplace, address: SocketAddr, hosts: HostNames) -> Self {
        Self { marketplace: Arc::new(Mutex::new(marketplace)), address, hosts: Arc::new(hosts) }
    }

    pub(crate) fn hosts(&self) -> &HostNames {
        &self.hosts
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Marketplace) -> T) -> T {
        // No code should panic while it holds the lock. If some code panics all the same, the fake goes on with the
        // state as it is.
        work(&mut self.marketplace.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the address on which the fake listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the fake's time in Unix seconds.
    pub fn now(&self) -> u64 {
        self.clock().now()
    }

    /// Returns a copy of the clock.
    pub fn clock(&self) -> Clock {
        self.with(|marketplace| marketplace.clock)
    }

    /// Sets the clock, forward or back. A ticking clock runs on from the new time.
    pub fn set_now(&self, unix_seconds: u64) {
        self.with(|marketplace| marketplace.clock.set(unix_seconds));
    }

    /// Moves the clock forward, at most to the end of the year 9999.
    pub fn advance(&self, by: Duration) {
        self.with(|marketplace| marketplace.clock.advance(by));
    }

    /// Returns the present switches.
    pub fn switches(&self) -> Switches {
        self.with(|marketplace| marketplace.switches)
    }

    /// Sets all switches.
    pub fn set_switches(&self, switches: Switches) {
        self.with(|marketplace| marketplace.switches = switches);
    }

    /// Changes some switches.
    pub fn update_switches(&self, change: impl FnOnce(&mut Switches)) {
        self.with(|marketplace| change(&mut marketplace.switches));
    }

    /// Returns the apps in the order of [`Options::apps`](crate::Options::apps).
    pub fn apps(&self) -> Vec<App> {
        self.with(|marketplace| marketplace.apps.clone())
    }

    /// Changes an app in place: its secret or its scopes. The caller must not change the service id or the redirect
    /// address.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`]
    pub fn update_app(&self, service_id: &str, change: impl FnOnce(&mut App)) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.app_mut(service_id).map(change))
    }

    /// Returns the sellers in the order of [`Options::sellers`](crate::Options::sellers).
    pub fn sellers(&self) -> Vec<Seller> {
        self.with(|marketplace| marketplace.sellers.clone())
    }

    /// Changes a seller in place: its shops, scopes, user type, or how long its authorizations last. The caller must
    /// not change the id.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`]
    pub fn update_seller(&self, seller: &str, change: impl FnOnce(&mut Seller)) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.seller_mut(seller).map(change))
    }

    /// Adds a shop at the end of the seller's listing.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`], [`ControlError::ShopExists`]
    pub fn add_shop(&self, seller: &str, shop: Shop) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.add_shop(seller, shop))
    }

    /// Removes a shop from the seller's listing and returns it.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`], [`ControlError::UnknownShop`]
    pub fn remove_shop(&self, seller: &str, shop_id: &str) -> Result<Shop, ControlError> {
        self.with(|marketplace| marketplace.remove_shop(seller, shop_id))
    }

    /// Makes the seller's decision on the app's consent page. Returns the query of the callback, `code=…&state=…`.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`], [`ControlError::UnknownSeller`]
    pub fn consent(
        &self,
        service_id: &str,
        seller: &str,
        state: Option<&str>,
        decision: Decision,
    ) -> Result<String, ControlError> {
        self.with(|marketplace| marketplace.decide(service_id, seller, state, decision))
    }

    /// Invents sellers with one shop each, who are connected in another system of the app. Returns the tokens of that
    /// system as JSON lines, in the form that the command `import` of `tiktok-shop-harness` reads.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`]
    pub fn connect_in_another_system(&self, service_id: &str, sellers: u32) -> Result<String, ControlError> {
        let held = self.with(|marketplace| marketplace.connect_in_another_system(service_id, sellers))?;
        // Serializing can't fail, because every key is text.
        Ok(held.iter().map(|held| format!("{}\n", serde_json::to_string(held).unwrap_or_default())).collect())
    }

    /// Ends every authorization that the seller has given to any app so far. The fake then treats these authorizations
    /// like expired ones: a refresh gets 36004001. By default, access tokens stay valid until they expire
    /// ([`Switches::access_token_after_end`]).
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`]
    pub fn end_authorization(&self, seller: &str) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.end_authorization(seller))
    }

    /// Makes all access tokens of the seller expire now, for every app. A call then gets 105002. Refresh tokens stay
    /// valid.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`]
    pub fn end_access_tokens(&self, seller: &str) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.end_access_tokens(seller))
    }

    /// Removes the app in the same way as the seller does in Seller Center. With the default switches, a webhook of
    /// type 6 is queued for each shop. Afterwards a refresh gets 36004005, a call gets 105001, and the exchange of an
    /// authorization code gets 36004004.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`], [`ControlError::UnknownSeller`], [`ControlError::NotAuthorized`]
    pub fn deauthorize(&self, service_id: &str, seller: &str) -> Result<(), ControlError> {
        let key = GrantKey { service_id: service_id.to_owned(), seller: seller.to_owned() };
        self.with(|marketplace| marketplace.deauthorize(&key, DeauthorizeNotice::Sent))
    }

    /// Removes one shop from the seller's grant to the app, until the next consent. A webhook of type 6 is queued, and
    /// the shop is no longer listed. With the default switches, calls for the shop get 106013, and if it was the last
    /// shop, the whole grant is removed.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`], [`ControlError::UnknownSeller`], [`ControlError::NotAuthorized`],
    /// [`ControlError::UnknownShop`]
    pub fn deauthorize_shop(&self, service_id: &str, seller: &str, shop_id: &str) -> Result<(), ControlError> {
        let key = GrantKey { service_id: service_id.to_owned(), seller: seller.to_owned() };
        self.with(|marketplace| marketplace.deauthorize_shop(&key, shop_id, DeauthorizeNotice::Sent))
    }

    /// Revokes every grant of the seller to any app. Sends no webhook. Afterwards a refresh gets 36004005, a call gets
    /// 105001, and the exchange of an authorization code gets 36004004.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`]
    pub fn revoke(&self, seller: &str) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.revoke(seller))
    }

    /// Adds a removed shop to the seller's grant again, without a new consent. No webhook is queued.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`], [`ControlError::UnknownSeller`], [`ControlError::NotAuthorized`],
    /// [`ControlError::UnknownShop`], [`ControlError::ShopGranted`]
    pub fn restore_shop(&self, service_id: &str, seller: &str, shop_id: &str) -> Result<(), ControlError> {
        let key = GrantKey { service_id: service_id.to_owned(), seller: seller.to_owned() };
        self.with(|marketplace| marketplace.restore_shop(&key, shop_id))
    }

    /// Replaces the newest tokens of a grant, as a refresh by another client of the same app does. With the default
    /// switches, a refresh with the replaced refresh token then gets code 36004005.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`], [`ControlError::UnknownSeller`], [`ControlError::NotAuthorized`],
    /// [`ControlError::NoWorkingToken`]
    pub fn rotate_tokens(&self, service_id: &str, seller: &str) -> Result<(), ControlError> {
        let key = GrantKey { service_id: service_id.to_owned(), seller: seller.to_owned() };
        self.with(|marketplace| marketplace.rotate_tokens(&key))
    }

    /// Returns the state of every grant and of its newest tokens, without the tokens themselves.
    pub fn grants(&self) -> Vec<GrantReport> {
        self.with(|marketplace| marketplace.grant_reports())
    }

    /// Revokes one refresh token. A refresh with this token then gets 36004005. All other tokens stay valid.
    ///
    /// # Errors
    /// [`ControlError::UnknownRefreshToken`]
    pub fn revoke_refresh_token(&self, token: &str) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.grants.revoke_refresh_token(token).ok_or(ControlError::UnknownRefreshToken))
    }

    /// Returns the tokens that were issued to an app for a seller, and tells which of them are valid now.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`], [`ControlError::UnknownSeller`]
    pub fn issued(&self, service_id: &str, seller: &str) -> Result<Issued, ControlError> {
        self.with(|marketplace| {
            marketplace.app_by_service_id(service_id)?;
            marketplace.seller(seller)?;
            let key = GrantKey { service_id: service_id.to_owned(), seller: seller.to_owned() };
            Ok(marketplace.grants.issued(&key, marketplace.clock.now(), &marketplace.switches))
        })
    }

    /// Tells whether a refresh with this token would succeed now if the token's own app sent it.
    pub fn honours(&self, refresh_token: &str) -> bool {
        self.with(|marketplace| {
            marketplace.grants.honours(refresh_token, marketplace.clock.now(), &marketplace.switches)
        })
    }

    /// Queues a webhook of any type, with any data, and returns its `tts_notification_id`.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`]
    pub fn queue_webhook(
        &self,
        service_id: &str,
        event_type: u32,
        shop_id: Option<&str>,
        data: Value,
    ) -> Result<String, ControlError> {
        self.with(|marketplace| {
            marketplace.app_by_service_id(service_id)?;
            let notice = Notice {
                service_id: service_id.to_owned(),
                event_type,
                shop_id: shop_id.map(str::to_owned),
                at: marketplace.clock.now(),
                data,
            };
            Ok(marketplace.outbox.queue(notice, marketplace.switches.webhook_copies))
        })
    }

    /// Returns all webhooks that are due now, of every app, in the order in which they are sent. A webhook stays due
    /// until [`webhook_answered`](Self::webhook_answered) is called for it.
    pub fn webhooks_due(&self) -> Vec<WebhookDelivery> {
        self.with(|marketplace| {
            marketplace.announce_ends();
            marketplace.outbox.due(marketplace.clock.now(), &marketplace.apps, &marketplace.switches)
        })
    }

    /// Returns every webhook that the fake remembers, newest first: due, waiting, delivered or given up.
    pub fn webhooks(&self) -> Vec<WebhookReport> {
        self.with(|marketplace| {
            marketplace.announce_ends();
            marketplace.outbox.reports(marketplace.clock.now(), &marketplace.switches)
        })
    }

    /// Queues a webhook once more, with the same `tts_notification_id`. TikTok Shop may also send a webhook twice. The
    /// repeated webhook is due at once. Returns the number of the repeated webhook.
    ///
    /// # Errors
    /// [`ControlError::ForgottenWebhook`]
    pub fn repeat_webhook(&self, number: u64) -> Result<u64, ControlError> {
        self.with(|marketplace| {
            let repeated = marketplace.outbox.repeat(number, marketplace.clock.now());
            repeated.ok_or(ControlError::ForgottenWebhook(number))
        })
    }

    /// Records the receiver's answer to a delivery: the HTTP status, or `None` if no answer came within 3 seconds. The
    /// webhook counts as delivered if the status is 2xx. By default it also counts as delivered if the status is 401
    /// ([`Switches::refused_webhook`]). With any other answer, the delivery has failed. The webhook becomes due again 2
    /// minutes after its first failure, 30 minutes after its second, 3 hours after its third, and 12 hours after its
    /// fourth. After the fifth failure, the fake gives up.
    ///
    /// # Errors
    /// [`ControlError::UnknownWebhook`]
    pub fn webhook_answered(&self, number: u64, status: Option<u16>) -> Result<WebhookFate, ControlError> {
        self.with(|marketplace| {
            let (now, switches) = (marketplace.clock.now(), marketplace.switches);
            let fate = marketplace.outbox.answered(number, status, now, &switches);
            fate.ok_or(ControlError::UnknownWebhook(number))
        })
    }

    /// Posts the due webhooks one by one to a receiver. Returns the number and the fate of each webhook. The receiver
    /// has 3 seconds of real time for each answer. If the fake listens on loopback, the receiver must be on this
    /// machine.
    ///
    /// # Errors
    /// [`ControlError::NotLoopback`]
    pub async fn send_webhooks(&self, to: SocketAddr, path: &str) -> Result<Vec<(u64, WebhookFate)>, ControlError> {
        self.post_webhooks(self.webhooks_due(), to, path).await
    }

    /// Posts the due webhook with this number to a receiver, and returns its fate.
    ///
    /// # Errors
    /// [`ControlError::NotLoopback`], [`ControlError::UnknownWebhook`]
    pub async fn send_webhook(&self, number: u64, to: SocketAddr, path: &str) -> Result<WebhookFate, ControlError> {
        let due = self.webhooks_due().into_iter().filter(|delivery| delivery.number == number).collect();
        let fates = self.post_webhooks(due, to, path).await?;
        fates.first().map(|(_, fate)| *fate).ok_or(ControlError::UnknownWebhook(number))
    }

    /// Finds the IP address and the port of a receiver. `to` is an IP address or a host name, followed by a port.
    pub(crate) async fn receiver(&self, to: &str) -> Result<SocketAddr, ControlError> {
        let unknown = || ControlError::UnknownReceiver(to.to_owned());
        let found: Vec<_> = lookup_host(to).await.map_err(|_| unknown())?.collect();
        // `localhost` may have an IPv4 address and an IPv6 address. Most receivers listen on IPv4.
        let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
        first.copied().ok_or_else(unknown)
    }

    async fn post_webhooks(
        &self,
        due: Vec<WebhookDelivery>,
        to: SocketAddr,
        path: &str,
    ) -> Result<Vec<(u64, WebhookFate)>, ControlError> {
        if self.hosts.is_loopback_only() && !to.ip().is_loopback() {
            return Err(ControlError::NotLoopback(to));
        }
        let mut fates = Vec::new();
        for delivery in due {
            let status = post(&delivery, to, path).await;
            // While this webhook was posted, another caller may have recorded an answer for it. Then the answer to this
            // post has no effect.
            fates.extend(self.webhook_answered(delivery.number, status).map(|fate| (delivery.number, fate)));
        }
        Ok(fates)
    }

    /// Returns the `authorization` header of a webhook with this body for the app. Tests use it to sign bodies that
    /// TikTok Shop never sends.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`]
    pub fn webhook_signature(&self, service_id: &str, body: &[u8]) -> Result<String, ControlError> {
        self.with(|marketplace| {
            let app = marketplace.app_by_service_id(service_id)?;
            Ok(sign_webhook(&app.app_key, &app.app_secret, body))
        })
    }

    /// Returns the ids of the packages that were shipped. The first request for a package ships the package. Later
    /// requests for this package get 21011006. The request log contains all these requests.
    pub fn shipped_packages(&self) -> Vec<String> {
        self.with(|marketplace| marketplace.shipments.packages().cloned().collect())
    }

    /// Lets one later request to `path` meet this fault. If faults were already added for this path, they come first.
    /// The request log shows the fault under `name`.
    pub fn fault_next(&self, path: &str, name: &str, fault: Fault) {
        self.with(|marketplace| marketplace.faults.add(path, name, fault, Some(1)));
    }

    /// Lets every request to `path` meet this fault, until [`clear_faults`](Self::clear_faults) is called.
    pub fn fault_every(&self, path: &str, name: &str, fault: Fault) {
        self.with(|marketplace| marketplace.faults.add(path, name, fault, None));
    }

    /// Returns the fault scripts that are not used up. If a script's `met` is 0, no request has met its fault.
    pub fn faults(&self) -> Vec<FaultScript> {
        self.with(|marketplace| marketplace.faults.all().to_vec())
    }

    /// Removes all fault scripts, and returns the scripts that were not used up.
    pub fn clear_faults(&self) -> Vec<FaultScript> {
        self.with(|marketplace| marketplace.faults.take())
    }

    /// Returns every code, token and cipher that the fake has handed out so far. Tests search logs and requests for
    /// these secrets. The result lacks the ciphers of shops that were removed from their seller.
    pub fn issued_secrets(&self) -> Vec<IssuedSecret> {
        self.with(|marketplace| {
            let shops = marketplace.sellers.iter().flat_map(|seller| seller.shops.iter().map(move |s| (seller, s)));
            let ciphers = shops.flat_map(|(seller, shop)| marketplace.grants.ciphers(&seller.id, shop));
            marketplace.grants.secrets().chain(ciphers).collect()
        })
    }

    /// Returns the requests to TikTok Shop's hosts, oldest first, at most the last 10,000. Secrets are not masked.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.with(|marketplace| marketplace.log.records().cloned().collect())
    }

    /// Deletes the recorded requests.
    pub fn clear_requests(&self) {
        self.with(|marketplace| marketplace.log.clear());
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("address", &self.address).finish_non_exhaustive()
    }
}
