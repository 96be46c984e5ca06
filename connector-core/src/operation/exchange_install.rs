//! `exchange-install`: the first step of an install from TikTok's App Store. It exchanges the code for tokens, and
//! stores nothing. Nothing can fail between TikTok's answer and the end of the call.

use super::connect::{Exchanged, app_of, exchange};
use crate::callback::read_install;
use crate::error::{Cause, Error};
use crate::pending_install::PendingInstall;
use crate::ports::Effects;
use crate::record::{Lineage, NewGrant, ShopPolicy, TokenRecord};
use crate::secret::SecretBytes;
use alloc::string::String;
use maybe_async::maybe_async;

/// An install that the host must store, and that nobody has confirmed yet.
pub struct Exchange {
    /// The seller and the tokens.
    pub install: PendingInstall,
    /// The stored form of `install`.
    pub stored_form: SecretBytes,
}

/// Exchanges the code of an install. `app` is the app that the seller installed; `None` means the tenant's only app.
///
/// # Errors
/// - Invalid request: `state-mismatch`, `callback-malformed`, `app-required`, `callback-of-another-app`, `not-a-seller`.
/// - Reauthorize: `consent-refused`, or `authorization-code-spent`.
/// - Retry after: TikTok could not be reached or did not answer. The code may still be valid.
/// - Misconfigured, upstream: the code says why.
#[maybe_async]
pub async fn exchange_install(effects: &impl Effects, app: Option<String>, query: &str) -> Result<Exchange, Error> {
    let consented = read_install(query)?;
    let app = app_of(effects, app, &consented).await?;
    let (lineage, random) = (Lineage(effects.random()), effects.random_number());
    let Exchanged { account, pair, received_at, granted_at } = exchange(effects, &app, &consented.code).await?;
    // The customer chooses the policy when they confirm. Until then, the record has the policy that links less.
    let shop_policy = ShopPolicy::ExactlyOne;
    let app_key = &app.app_key;
    let grant = NewGrant { lineage, app_key, shop_policy, pair: &pair, received_at, granted_at, random };
    let install = PendingInstall { account, record: TokenRecord::granted(&grant) };
    let stored_form = install.encode().ok_or_else(|| Error::new(Cause::Internal))?;
    Ok(Exchange { install, stored_form })
}
