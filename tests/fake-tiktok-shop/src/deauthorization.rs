//! Removes grants or single shops of grants, and queues the webhooks that tell an app about a removal or about the
//! coming end of a grant.
//!
//! Source: the official page `seller-authorization-guide` and the pages of the webhooks `SELLER_DEAUTHORIZATION` and
//! `UPCOMING_AUTHORIZATION_EXPIRATION` (as of 2026). These pages do not say whether TikTok Shop sends one webhook for
//! each shop of a grant, or what happens when the last shop is removed. Switches decide both questions.

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
        self.queue_deauthorization_notices(key, shops, notice);
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
        self.queue_deauthorization_notices(key, vec![shop_id.to_owned()], notice);
        Ok(())
    }

    /// Queues the webhooks about the coming end of this grant that are due by now. A caller must call this function
    /// before it changes the grant, because each webhook describes the grant as it was when the webhook became due.
    pub(crate) fn announce_end(&mut self, key: &GrantKey) {
        let (zone, now) = (self.switches.ending_notice_zone, self.clock.now());
        let times = self.grants.announcements(key, now, zone);
        let Some(ends_at) = self.grants.authorization(key).map(|authorization| authorization.ends_at) else { return };
        let data = json!({
            "message": "The authorization of the seller is about to end",
            "expiration_time": ends_at.to_string(),
        });
        for at in times {
            self.queue_notices(
                key,
                UPCOMING_AUTHORIZATION_EXPIRATION,
                self.granted_shops(key).unwrap_or_default(),
                at,
                &data,
            );
        }
    }

    /// For every grant, queues the webhooks about its coming end that are due by now.
    pub(crate) fn announce_ends(&mut self) {
        for key in self.grants.keys().cloned().collect::<Vec<_>>() {
            self.announce_end(&key);
        }
    }

    /// For every grant of the seller, queues the webhooks about its coming end that are due by now.
    pub(crate) fn announce_ends_of(&mut self, seller: &str) {
        for key in self.grants.keys().filter(|key| key.seller == seller).cloned().collect::<Vec<_>>() {
            self.announce_end(&key);
        }
    }

    /// Returns the ids of the shops that a grant covers. Returns an error if there is no such grant, or if it was taken
    /// back.
    fn granted_shops(&self, key: &GrantKey) -> Result<Vec<String>, ControlError> {
        self.app_by_service_id(&key.service_id)?;
        let shops = &self.seller(&key.seller)?.shops;
        let authorization = self.grants.authorization(key).filter(|authorization| authorization.stands());
        let authorization = authorization.ok_or_else(|| ControlError::NotAuthorized(key.seller.clone()))?;
        Ok(shops.iter().filter(|shop| authorization.covers(shop)).map(|shop| shop.id.clone()).collect())
    }

    fn queue_deauthorization_notices(&mut self, key: &GrantKey, shops: Vec<String>, notice: DeauthorizeNotice) {
        match notice {
            DeauthorizeNotice::Sent => {
                let data = json!({ "message": "The seller has removed the app" });
                self.queue_notices(key, SELLER_DEAUTHORIZATION, shops, self.clock.now(), &data);
            }
            DeauthorizeNotice::None => {}
        }
    }

    /// Queues one webhook for each of the shops, or one webhook for the first shop only. The switch `grant_notices`
    /// decides which.
    fn queue_notices(&mut self, key: &GrantKey, event_type: u32, shops: Vec<String>, at: u64, data: &Value) {
        let count = match self.switches.grant_notices {
            GrantNotices::EachShop => shops.len(),
            GrantNotices::One => 1,
        };
        for shop_id in shops.into_iter().take(count) {
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
