//! How grants lose shops, are removed and end, and what apps are told of it.
//!
//! Official pages `seller-authorization-guide` and those of the webhooks `SELLER_DEAUTHORIZATION` and
//! `UPCOMING_AUTHORIZATION_EXPIRATION` (as of 2026). Whether TikTok Shop tells the shops of one grant one by one, and what
//! it does when the last shop goes, is open: switches decide.

use serde_json::{Value, json};

use crate::control::ControlError;
use crate::grants::GrantKey;
use crate::marketplace::Marketplace;
use crate::switches::{DeauthorizeNotice, GrantNotices, LastShopRemoved};
use crate::webhook::{Notice, SELLER_DEAUTHORIZATION, UPCOMING_AUTHORIZATION_EXPIRATION};

impl Marketplace {
    /// Removes a grant with all its shops.
    pub(crate) fn deauthorize(&mut self, key: &GrantKey, notice: DeauthorizeNotice) -> Result<(), ControlError> {
        let shops = self.granted_shops(key)?;
        self.announce_end(key);
        self.grants.remove(key, self.clock.now());
        self.tell_of_deauthorization(key, shops, notice);
        Ok(())
    }

    /// Removes one shop from a grant.
    pub(crate) fn deauthorize_shop(
        &mut self,
        key: &GrantKey,
        shop_id: &str,
        notice: DeauthorizeNotice,
    ) -> Result<(), ControlError> {
        let shops = self.granted_shops(key)?;
        if !shops.iter().any(|shop| shop == shop_id) {
            return Err(ControlError::UnknownShop(shop_id.to_owned()));
        }
        self.announce_end(key);
        self.grants.remove_shop(key, shop_id);
        if shops.len() == 1 && self.switches.last_shop_removed == LastShopRemoved::RemovesGrant {
            self.grants.remove(key, self.clock.now());
        }
        self.tell_of_deauthorization(key, vec![shop_id.to_owned()], notice);
        Ok(())
    }

    /// Queues what is due by now of the announcements that a grant will end. To be called before anything changes the
    /// grant, as times that have passed are told as they were.
    pub(crate) fn announce_end(&mut self, key: &GrantKey) {
        let (zone, now) = (self.switches.ending_notice_zone, self.clock.now());
        let times = self.grants.announcements(key, now, zone);
        let Some(ends_at) = self.grants.authorization(key).map(|authorization| authorization.ends_at) else { return };
        let data = json!({
            "message": "The authorization of the seller is about to end",
            "expiration_time": ends_at.to_string(),
        });
        for at in times {
            self.tell(key, UPCOMING_AUTHORIZATION_EXPIRATION, self.granted_shops(key).unwrap_or_default(), at, &data);
        }
    }

    /// The same for every grant.
    pub(crate) fn announce_ends(&mut self) {
        for key in self.grants.keys().cloned().collect::<Vec<_>>() {
            self.announce_end(&key);
        }
    }

    /// The same for every grant of a seller.
    pub(crate) fn announce_ends_of(&mut self, seller: &str) {
        for key in self.grants.keys().filter(|key| key.seller == seller).cloned().collect::<Vec<_>>() {
            self.announce_end(&key);
        }
    }

    fn granted_shops(&self, key: &GrantKey) -> Result<Vec<String>, ControlError> {
        self.app_by_service_id(&key.service_id)?;
        let shops = &self.seller(&key.seller)?.shops;
        let authorization = self.grants.authorization(key).filter(|authorization| authorization.stands());
        let authorization = authorization.ok_or_else(|| ControlError::NotAuthorized(key.seller.clone()))?;
        Ok(shops.iter().filter(|shop| authorization.covers(shop)).map(|shop| shop.id.clone()).collect())
    }

    fn tell_of_deauthorization(&mut self, key: &GrantKey, shops: Vec<String>, notice: DeauthorizeNotice) {
        match notice {
            DeauthorizeNotice::Sent => {
                let data = json!({ "message": "The seller has removed the app" });
                self.tell(key, SELLER_DEAUTHORIZATION, shops, self.clock.now(), &data);
            }
            DeauthorizeNotice::None => {}
        }
    }

    fn tell(&mut self, key: &GrantKey, event_type: u32, shops: Vec<String>, at: u64, data: &Value) {
        let told = match self.switches.grant_notices {
            GrantNotices::EachShop => shops.len(),
            GrantNotices::One => 1,
        };
        for shop_id in shops.into_iter().take(told) {
            let notice = Notice {
                service_id: key.service_id.clone(),
                event_type,
                shop_id: Some(shop_id),
                at,
                data: data.clone(),
            };
            self.outbox.queue(notice, self.switches.webhook_copies);
        }
    }
}
