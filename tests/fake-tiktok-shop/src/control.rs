//! The other side of the fake: what tests and people do to it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::app::App;
use crate::clock::Clock;
use crate::consent::Decision;
use crate::fault::{Fault, FaultScript};
use crate::grants::GrantKey;
use crate::issued::{Issued, IssuedSecret};
use crate::marketplace::Marketplace;
use crate::request_log::RequestRecord;
use crate::seller::{Seller, Shop};
use crate::signature::sign_webhook;
use crate::switches::{DeauthorizeNotice, Switches};
use crate::webhook::{Notice, WebhookDelivery, WebhookFate, post};

/// A handle on a running fake: its clock, switches, sellers, grants and the requests it saw.
///
/// Cheap to clone. Apps are named by `service_id`, sellers by [`Seller::id`].
#[derive(Clone)]
pub struct Control {
    marketplace: Arc<Mutex<Marketplace>>,
    address: SocketAddr,
}

/// An operation named something the fake does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The seller has not authorized the app, or no longer does.
    #[error("the app has no authorization by {0:?}")]
    NotAuthorized(String),
    /// Webhooks are posted to this machine only.
    #[error("{0} is not an address of this machine")]
    NotLoopback(SocketAddr),
    /// A seller has a shop with this id already.
    #[error("there is a shop {0:?} already")]
    ShopExists(String),
    /// This refresh token was never issued.
    #[error("no such refresh token")]
    UnknownRefreshToken,
    /// No seller has this id.
    #[error("no seller {0:?}")]
    UnknownSeller(String),
    /// No app has this `service_id`.
    #[error("no app with the service id {0:?}")]
    UnknownService(String),
    /// The seller has no shop with this id, or the grant does not cover it.
    #[error("the seller has no shop {0:?}")]
    UnknownShop(String),
    /// No webhook waits under this number.
    #[error("no webhook {0} waits")]
    UnknownWebhook(u64),
}

impl Control {
    pub(crate) fn new(marketplace: Marketplace, address: SocketAddr) -> Self {
        Self { marketplace: Arc::new(Mutex::new(marketplace)), address }
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Marketplace) -> T) -> T {
        // Nothing panics under the lock; should it happen, the state is still the best there is.
        work(&mut self.marketplace.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the fake listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fake's time, in Unix seconds.
    pub fn now(&self) -> u64 {
        self.clock().now()
    }

    /// The clock as it is now.
    pub fn clock(&self) -> Clock {
        self.with(|marketplace| marketplace.clock)
    }

    /// Sets the clock, forward or back. A ticking clock goes on from there.
    pub fn set_now(&self, unix_seconds: u64) {
        self.with(|marketplace| marketplace.clock.set(unix_seconds));
    }

    /// Moves the clock forward, at most to the end of the year 9999.
    pub fn advance(&self, by: Duration) {
        self.with(|marketplace| marketplace.clock.advance(by));
    }

    /// The switches as they are now.
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

    /// The apps, in the order they were given.
    pub fn apps(&self) -> Vec<App> {
        self.with(|marketplace| marketplace.apps.clone())
    }

    /// Changes an app in place: its secret or its scopes. The service id and the redirect address must stay.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`]
    pub fn update_app(&self, service_id: &str, change: impl FnOnce(&mut App)) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.app_mut(service_id).map(change))
    }

    /// The sellers, in the order they were given.
    pub fn sellers(&self) -> Vec<Seller> {
        self.with(|marketplace| marketplace.sellers.clone())
    }

    /// Changes a seller in place: its shops, scopes, kind, or how long its authorizations last. The id must stay.
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

    /// Takes a shop out of the seller's listing and returns it.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`], [`ControlError::UnknownShop`]
    pub fn remove_shop(&self, seller: &str, shop_id: &str) -> Result<Shop, ControlError> {
        self.with(|marketplace| marketplace.remove_shop(seller, shop_id))
    }

    /// Decides as the seller on the app's consent page and returns the query of the callback, `code=…&state=…`.
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

    /// Lets everything the seller has granted so far run out, at every app: a refresh gets 36004001. Access tokens live
    /// on to their own end.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`]
    pub fn end_authorization(&self, seller: &str) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.end_authorization(seller))
    }

    /// Ends the seller's access tokens before their time, at every app: a call gets 105002. Refresh tokens live on.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`]
    pub fn end_access_tokens(&self, seller: &str) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.end_access_tokens(seller))
    }

    /// Removes the app as the seller does it in Seller Center: a webhook of type 6 for each shop is queued, then a refresh
    /// gets 36004005, a call 105001, an exchange 36004004.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`], [`ControlError::UnknownSeller`], [`ControlError::NotAuthorized`]
    pub fn deauthorize(&self, service_id: &str, seller: &str) -> Result<(), ControlError> {
        let key = GrantKey { service_id: service_id.to_owned(), seller: seller.to_owned() };
        self.with(|marketplace| marketplace.deauthorize(&key, DeauthorizeNotice::Sent))
    }

    /// Removes one shop from what the seller has granted the app, until the next consent: a webhook of type 6 is queued,
    /// the listing lacks the shop, and calls for it get 106013. With the last shop the grant goes, too, unless a switch
    /// says otherwise.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`], [`ControlError::UnknownSeller`], [`ControlError::NotAuthorized`],
    /// [`ControlError::UnknownShop`]
    pub fn deauthorize_shop(&self, service_id: &str, seller: &str, shop_id: &str) -> Result<(), ControlError> {
        let key = GrantKey { service_id: service_id.to_owned(), seller: seller.to_owned() };
        self.with(|marketplace| marketplace.deauthorize_shop(&key, shop_id, DeauthorizeNotice::Sent))
    }

    /// Takes back everything the seller has granted so far, at every app and without a webhook: a refresh gets 36004005, a
    /// call 105001, an exchange 36004004.
    ///
    /// # Errors
    /// [`ControlError::UnknownSeller`]
    pub fn revoke(&self, seller: &str) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.revoke(seller))
    }

    /// Takes back one refresh token: a refresh with it gets 36004005. All else that the seller has granted lives on.
    ///
    /// # Errors
    /// [`ControlError::UnknownRefreshToken`]
    pub fn revoke_refresh_token(&self, token: &str) -> Result<(), ControlError> {
        self.with(|marketplace| marketplace.grants.revoke_refresh_token(token).ok_or(ControlError::UnknownRefreshToken))
    }

    /// The tokens issued to an app for a seller, and which of them are honoured now.
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

    /// Whether a refresh with this token would be answered with tokens now, whichever app and seller it belongs to.
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

    /// The webhooks of all apps that are due now, in the order in which they are sent. Each stays due until
    /// [`webhook_answered`](Self::webhook_answered).
    pub fn webhooks_due(&self) -> Vec<WebhookDelivery> {
        self.with(|marketplace| {
            marketplace.announce_ends();
            marketplace.outbox.due(marketplace.clock.now(), &marketplace.apps, &marketplace.switches)
        })
    }

    /// Tells how a delivery was answered: the HTTP status, or `None` if there was no answer within three seconds. After a
    /// failure it is sent again 2 minutes, 30 minutes, 3 hours and 12 hours later, each counted from the last one.
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

    /// Posts what is due to a receiver on this machine, one after the other, and tells what becomes of each by its number.
    /// The receiver has three seconds of real time for an answer.
    ///
    /// # Errors
    /// [`ControlError::NotLoopback`]
    pub async fn send_webhooks(&self, to: SocketAddr, path: &str) -> Result<Vec<(u64, WebhookFate)>, ControlError> {
        if !to.ip().is_loopback() {
            return Err(ControlError::NotLoopback(to));
        }
        let mut fates = Vec::new();
        for delivery in self.webhooks_due() {
            let status = post(&delivery, to, path).await;
            // Somebody else may have answered it meanwhile.
            fates.extend(self.webhook_answered(delivery.number, status).map(|fate| (delivery.number, fate)));
        }
        Ok(fates)
    }

    /// The `authorization` header that a webhook of the app with this body has: for bodies that TikTok Shop never sends.
    ///
    /// # Errors
    /// [`ControlError::UnknownService`]
    pub fn webhook_signature(&self, service_id: &str, body: &[u8]) -> Result<String, ControlError> {
        self.with(|marketplace| {
            let app = marketplace.app_by_service_id(service_id)?;
            Ok(sign_webhook(&app.app_key, &app.app_secret, body))
        })
    }

    /// The ids of the packages that were shipped. Of several requests for one package only the first ships it; the
    /// others get 21011006, and stand in the log like any request.
    pub fn shipped_packages(&self) -> Vec<String> {
        self.with(|marketplace| marketplace.shipments.packages().cloned().collect())
    }

    /// Lets the next request to `path` meet a fault, after those that faults were scripted for before. The request log
    /// calls it `name`.
    pub fn fault_next(&self, path: &str, name: &str, fault: Fault) {
        self.with(|marketplace| marketplace.faults.add(path, name, fault, Some(1)));
    }

    /// Lets every request to `path` meet a fault until [`clear_faults`](Self::clear_faults).
    pub fn fault_every(&self, path: &str, name: &str, fault: Fault) {
        self.with(|marketplace| marketplace.faults.add(path, name, fault, None));
    }

    /// The scripts that are not used up. One with `met` 0 was never played.
    pub fn faults(&self) -> Vec<FaultScript> {
        self.with(|marketplace| marketplace.faults.all().to_vec())
    }

    /// Takes the scripts away and returns those that were not used up.
    pub fn clear_faults(&self) -> Vec<FaultScript> {
        self.with(|marketplace| marketplace.faults.take())
    }

    /// Every code, token and cipher handed out so far, to search for where none may be. Ciphers are those of the shops
    /// that sellers have now.
    pub fn issued_secrets(&self) -> Vec<IssuedSecret> {
        self.with(|marketplace| {
            let shops = marketplace.sellers.iter().flat_map(|seller| seller.shops.iter().map(move |s| (seller, s)));
            let ciphers = shops.filter_map(|(seller, shop)| Some((seller.id.as_str(), shop.cipher.as_deref()?)));
            let ciphers = ciphers.flat_map(|(seller, first)| marketplace.grants.ciphers(seller, first));
            marketplace.grants.secrets().chain(ciphers).collect()
        })
    }

    /// The requests that reached TikTok Shop's hosts, oldest first, at most the last 10,000. Secrets are not masked.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.with(|marketplace| marketplace.log.records().cloned().collect())
    }

    /// Forgets the requests seen so far.
    pub fn clear_requests(&self) {
        self.with(|marketplace| marketplace.log.clear());
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("address", &self.address).finish_non_exhaustive()
    }
}
