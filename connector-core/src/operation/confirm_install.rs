//! `connect` with a pending install: the second step of an install from TikTok's App Store. It stores the tokens first,
//! then reads the shops, then writes the row. It sends no code, so it can be repeated until the tokens are stored, and
//! afterwards.

use super::apps;
use super::connect::{Origin, finish, store};
use crate::connection::Connection;
use crate::error::{Cause, Error};
use crate::identity::{ConnectionKey, CustomerId};
use crate::pending_install::PendingInstall;
use crate::ports::Effects;
use crate::record::{NewGrant, ShopPolicy};
use alloc::string::String;
use maybe_async::maybe_async;

/// Connects the customer with an install that they have confirmed. `pending` is the stored form of the install. `app` is
/// the app that the host expects; `None` means the app of the install.
///
/// # Errors
/// - Invalid request: `pending-install-malformed`, `account-of-another-app`; nothing was stored.
/// - Storage failed, storage conflict: nothing was stored. Call again with the same bytes.
/// - Misconfigured: the code says why; nothing was stored.
#[maybe_async]
pub async fn confirm_install(
    effects: &impl Effects,
    customer: CustomerId,
    app: Option<String>,
    pending: &[u8],
    shop_policy: ShopPolicy,
) -> Result<Connection, Error> {
    let install = PendingInstall::decode(pending)?;
    if app.is_some_and(|named| named != install.record.app_key()) {
        return Err(Error::new(Cause::PendingInstallMalformed));
    }
    let app = apps::fetch(effects, install.record.app_key()).await?;
    let key = ConnectionKey { customer, account: install.account.clone() };
    let (lineage, granted_at, received_at) =
        (install.record.lineage(), install.record.granted_at(), install.received_at());
    let (now, random) = (effects.wall(), effects.random_number());
    let pair = install.into_pair();
    let app_key = &app.app_key;
    let grant = NewGrant { lineage, app_key, shop_policy, pair: &pair, received_at, granted_at, random };
    let stored = store(effects, &key, &grant, Origin::PendingInstall).await?;
    finish(effects, &app, &key, stored, now, None).await
}
