//! The whole state of the fake. One lock protects it.

use crate::app::App;
use crate::clock::{Clock, Utc};
use crate::control::ControlError;
use crate::endpoint::{Shipments, Webhooks};
use crate::fault::FaultScripts;
use crate::grants::Grants;
use crate::request_log::RequestLog;
use crate::seller::{Seller, Shop};
use crate::switches::Switches;
use crate::webhook::Outbox;

pub(crate) struct Marketplace {
    pub clock: Clock,
    pub switches: Switches,
    pub apps: Vec<App>,
    pub sellers: Vec<Seller>,
    pub grants: Grants,
    pub log: RequestLog,
    pub faults: FaultScripts,
    pub shipments: Shipments,
    pub webhooks: Webhooks,
    pub outbox: Outbox,
    /// The address to which a browser goes after the consent if the app has no redirect address.
    pub callback_page: String,
}

impl Marketplace {
    pub(crate) fn app_by_service_id(&self, service_id: &str) -> Result<&App, ControlError> {
        self.apps
            .iter()
            .find(|app| app.service_id == service_id)
            .ok_or_else(|| ControlError::UnknownService(service_id.to_owned()))
    }

    pub(crate) fn app_mut(&mut self, service_id: &str) -> Result<&mut App, ControlError> {
        self.apps
            .iter_mut()
            .find(|app| app.service_id == service_id)
            .ok_or_else(|| ControlError::UnknownService(service_id.to_owned()))
    }

    pub(crate) fn app_by_key(&self, app_key: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.app_key == app_key)
    }

    pub(crate) fn seller(&self, id: &str) -> Result<&Seller, ControlError> {
        self.sellers.iter().find(|seller| seller.id == id).ok_or_else(|| ControlError::UnknownSeller(id.to_owned()))
    }

    pub(crate) fn seller_mut(&mut self, id: &str) -> Result<&mut Seller, ControlError> {
        self.sellers.iter_mut().find(|seller| seller.id == id).ok_or_else(|| ControlError::UnknownSeller(id.to_owned()))
    }

    pub(crate) fn end_authorization(&mut self, seller: &str) -> Result<(), ControlError> {
        self.seller(seller)?;
        self.announce_ends_of(seller);
        self.grants.end(seller, self.clock.now());
        Ok(())
    }

    pub(crate) fn end_access_tokens(&mut self, seller: &str) -> Result<(), ControlError> {
        self.seller(seller)?;
        self.grants.end_access_tokens(seller, self.clock.now());
        Ok(())
    }

    pub(crate) fn revoke(&mut self, seller: &str) -> Result<(), ControlError> {
        self.seller(seller)?;
        self.announce_ends_of(seller);
        self.grants.revoke(seller);
        Ok(())
    }

    pub(crate) fn add_shop(&mut self, seller: &str, shop: Shop) -> Result<(), ControlError> {
        if self.sellers.iter().flat_map(|seller| &seller.shops).any(|other| other.id == shop.id) {
            return Err(ControlError::ShopExists(shop.id));
        }
        self.seller_mut(seller)?.shops.push(shop);
        Ok(())
    }

    pub(crate) fn remove_shop(&mut self, seller: &str, shop_id: &str) -> Result<Shop, ControlError> {
        let shops = &mut self.seller_mut(seller)?.shops;
        match shops.iter().position(|shop| shop.id == shop_id) {
            Some(position) => Ok(shops.remove(position)),
            None => Err(ControlError::UnknownShop(shop_id.to_owned())),
        }
    }

    /// Draws a `request_id`: date and time in 14 digits, then 20 upper-case hexadecimal digits.
    pub(crate) fn request_id(&mut self) -> String {
        let mut tail = self.grants.opaque().to_ascii_uppercase();
        tail.truncate(20);
        Utc::from_unix_seconds(self.clock.now()).digits() + &tail
    }
}
