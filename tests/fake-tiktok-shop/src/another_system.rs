//! Invents sellers who are connected in another system of the same app, so that a platform can rehearse an import of
//! their tokens.

use serde::Serialize;
use serde_json::Map;

use crate::control::ControlError;
use crate::fixtures::NINETY_NINE_YEARS;
use crate::grants::GrantKey;
use crate::marketplace::Marketplace;
use crate::seller::{Seller, Shop};

/// The maximum number of sellers that one request invents.
pub(crate) const MAX_SELLERS: u32 = 10_000;

/// The tokens of one seller, as the other system exports them. The command `import` of `tiktok-shop-harness` reads
/// these members.
#[derive(Serialize)]
pub(crate) struct HeldGrant {
    customer: String,
    account: String,
    app: String,
    refresh_token: String,
    access_token: String,
    access_token_ends: u64,
    refresh_token_ends: u64,
}

impl Marketplace {
    /// Invents sellers with one shop each. Each of them has consented to the app with this `service_id`, and another
    /// system of the app has exchanged the code. Returns the tokens of this system.
    pub(crate) fn connect_in_another_system(
        &mut self,
        service_id: &str,
        sellers: u32,
    ) -> Result<Vec<HeldGrant>, ControlError> {
        (0..sellers).map(|_| self.connect_one_in_another_system(service_id)).collect()
    }

    fn connect_one_in_another_system(&mut self, service_id: &str) -> Result<HeldGrant, ControlError> {
        let app = self.app_by_service_id(service_id)?;
        let (app_key, scopes, market) = (app.app_key.clone(), app.scopes.clone(), app.market);
        let region = if market.has("GB") { "GB" } else { "US" };
        // No seller is ever removed, so the number is new.
        let number = self.sellers.len() + 1;
        let id = format!("invented-{number}");
        let name = format!("Invented Seller {number}");
        let shop = Shop {
            id: format!("7499{number:015}"),
            name: name.clone(),
            region: region.to_owned(),
            seller_type: "LOCAL".to_owned(),
            cipher: Some(format!("ROW_{}", self.grants.opaque())),
            code: format!("{region}LCINV{number}"),
            extra: Map::new(),
        };
        self.sellers.push(Seller {
            id: id.clone(),
            name,
            base_region: region.to_owned(),
            user_type: 0,
            shops: vec![shop],
            granted_scopes: None,
            authorization_lasts: NINETY_NINE_YEARS,
        });

        let (now, switches) = (self.clock.now(), self.switches);
        let key = GrantKey { service_id: service_id.to_owned(), seller: id.clone() };
        let code = self.grants.issue_code(key.clone(), scopes, market, now);
        let not_authorized = || ControlError::NotAuthorized(id.clone());
        let pair = self.grants.exchange(&code, service_id, NINETY_NINE_YEARS.as_secs(), now, &switches);
        let pair = pair.map_err(|_| not_authorized())?;
        let account = self.grants.authorization(&key).ok_or_else(not_authorized)?.open_id.clone();
        Ok(HeldGrant {
            customer: id,
            account,
            app: app_key,
            refresh_token: pair.refresh_token,
            access_token: pair.access_token,
            access_token_ends: pair.access_token_expires_at,
            refresh_token_ends: pair.refresh_token_expires_at,
        })
    }
}
