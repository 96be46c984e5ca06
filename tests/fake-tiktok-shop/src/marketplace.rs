//! The whole state of the fake. One lock protects it.

use crate::app::App;
use crate::clock::{Clock, Utc};
use crate::control::ControlError;
use crate::endpoint::{Shipments, Webhooks};
use crate::fault::FaultScripts;
use crate::grants::{GrantKey, GrantReport, Grants};
use crate::pages::PagesState;
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
    /// Every closed shop, together with the id of its seller. A seller can open a closed shop again.
    pub closed_shops: Vec<(String, Shop)>,
    pub pages: PagesState,
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
        self.sellers.iter().find(|seller| seller.id == id).ok_or_else(|| self.unknown_seller(id))
    }

    /// Returns the error for a seller who is not known. The error lists the sellers.
    pub(crate) fn unknown_seller(&self, id: &str) -> ControlError {
        let sellers = self.sellers.iter().map(|seller| seller.id.clone()).collect();
        ControlError::UnknownSeller { id: id.to_owned(), sellers }
    }

    pub(crate) fn seller_mut(&mut self, id: &str) -> Result<&mut Seller, ControlError> {
        let unknown = self.unknown_seller(id);
        self.sellers.iter_mut().find(|seller| seller.id == id).ok_or(unknown)
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
        let closed = self.closed_shops.iter().map(|(_, shop)| shop);
        if self.sellers.iter().flat_map(|seller| &seller.shops).chain(closed).any(|other| other.id == shop.id) {
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

    /// Puts a removed shop back into a grant.
    pub(crate) fn restore_shop(&mut self, key: &GrantKey, shop_id: &str) -> Result<(), ControlError> {
        self.standing(key)?;
        if !self.seller(&key.seller)?.shops.iter().any(|shop| shop.id == shop_id) {
            return Err(ControlError::UnknownShop(shop_id.to_owned()));
        }
        if self.grants.restore_shop(key, shop_id) { Ok(()) } else { Err(ControlError::ShopGranted(shop_id.to_owned())) }
    }

    /// Replaces the tokens of a grant, as a refresh by another client of the app does.
    pub(crate) fn rotate_tokens(&mut self, key: &GrantKey) -> Result<(), ControlError> {
        self.standing(key)?;
        let rotated = self.grants.rotate(key, self.clock.now(), &self.switches);
        rotated.map_err(|_| ControlError::NoWorkingToken(key.seller.clone()))
    }

    /// Closes a shop: removes it from the seller's shops. The shop can be opened again.
    pub(crate) fn close_shop(&mut self, seller: &str, shop_id: &str) -> Result<(), ControlError> {
        let shop = self.remove_shop(seller, shop_id)?;
        self.closed_shops.push((seller.to_owned(), shop));
        Ok(())
    }

    /// Opens a closed shop again. The shop is now the last of the seller's shops.
    pub(crate) fn reopen_shop(&mut self, seller: &str, shop_id: &str) -> Result<(), ControlError> {
        let position = self.closed_shops.iter().position(|(owner, shop)| owner == seller && shop.id == shop_id);
        let position = position.ok_or_else(|| ControlError::UnknownShop(shop_id.to_owned()))?;
        self.seller(seller)?;
        let (_, shop) = self.closed_shops.remove(position);
        self.seller_mut(seller)?.shops.push(shop);
        Ok(())
    }

    /// Returns the state of every grant, in the order of apps and sellers.
    pub(crate) fn grant_reports(&self) -> Vec<GrantReport> {
        let now = self.clock.now();
        let keys = self.apps.iter().flat_map(|app| {
            self.sellers
                .iter()
                .map(|seller| (GrantKey { service_id: app.service_id.clone(), seller: seller.id.clone() }, seller))
        });
        keys.filter_map(|(key, seller)| self.grants.report(&key, seller, now, &self.switches)).collect()
    }

    /// Checks that there is a grant with this key and that it was not taken back.
    fn standing(&self, key: &GrantKey) -> Result<(), ControlError> {
        self.app_by_service_id(&key.service_id)?;
        self.seller(&key.seller)?;
        match self.grants.authorization(key) {
            Some(authorization) if authorization.stands() => Ok(()),
            Some(_) | None => Err(ControlError::NotAuthorized(key.seller.clone())),
        }
    }

    /// Draws a `request_id`: date and time in 14 digits, then 20 upper-case hexadecimal digits.
    pub(crate) fn request_id(&mut self) -> String {
        let mut tail = self.grants.opaque().to_ascii_uppercase();
        tail.truncate(20);
        Utc::from_unix_seconds(self.clock.now()).digits() + &tail
    }
}
