//! The seller's decision on the consent page, and the callback that follows.
//!
//! Source: the official pages `authorization-guide-202309` and `authorization-overview-202407` (as of December 2025).

use serde::Deserialize;

use crate::app::App;
use crate::control::ControlError;
use crate::grants::GrantKey;
use crate::marketplace::Marketplace;
use crate::query;
use crate::seller::Seller;
use crate::switches::CallbackExtras;

/// The decision of a seller on the consent page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Grants the scopes that the app asks for, limited to the seller's `granted_scopes` if these are set.
    Allow,
    /// Grants nothing.
    Refuse,
}

impl Marketplace {
    /// Makes the decision of the seller `seller_id` on the app's consent page. Returns the query of the callback.
    pub(crate) fn decide(
        &mut self,
        service_id: &str,
        seller_id: &str,
        state: Option<&str>,
        decision: Decision,
    ) -> Result<String, ControlError> {
        let app = self.app_by_service_id(service_id)?;
        let seller = self.seller(seller_id)?;
        let (app_key, market, region) = (app.app_key.clone(), app.market, seller.base_region.clone());
        let scopes = granted_scopes(app, seller);

        let code;
        let mut callback = match decision {
            Decision::Allow => {
                let key = GrantKey { service_id: service_id.to_owned(), seller: seller_id.to_owned() };
                code = self.grants.issue_code(key, scopes, market, self.clock.now());
                vec![("code", code.as_str())]
            }
            Decision::Refuse => vec![("code", "null"), ("error", self.switches.refusal_error.text())],
        };
        callback.extend(state.map(|state| ("state", state)));
        match self.switches.callback_extras {
            CallbackExtras::None => {}
            CallbackExtras::AppKeyLocaleAndRegion => {
                callback.extend([("app_key", app_key.as_str()), ("locale", "en"), ("shop_region", region.as_str())]);
            }
        }
        Ok(query::encode(callback))
    }

    /// Returns the address to which the browser is redirected, with the callback's query.
    pub(crate) fn callback_address(&self, service_id: &str, callback_query: &str) -> Result<String, ControlError> {
        let app = self.app_by_service_id(service_id)?;
        let address = app.redirect_address.as_deref().unwrap_or(&self.callback_page);
        Ok(query::append(address, callback_query))
    }
}

fn granted_scopes(app: &App, seller: &Seller) -> Vec<String> {
    let granted = |scope: &&String| seller.granted_scopes.as_ref().is_none_or(|scopes| scopes.contains(scope));
    app.scopes.iter().filter(granted).cloned().collect()
}
