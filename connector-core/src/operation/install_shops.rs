//! `install-shops`: reads the shops of a pending install, so that the customer sees them before confirming. It stores
//! nothing.

use super::apps;
use super::shop_sync::{read_shops, token_refused};
use crate::connection::ListedShop;
use crate::error::{Cause, Error};
use crate::pending_install::PendingInstall;
use crate::ports::Effects;
use alloc::vec::Vec;
use maybe_async::maybe_async;

/// Returns the shops that TikTok lists for a pending install. Leaves out entries that cannot be read. `pending` is the
/// stored form of the install.
///
/// # Errors
/// - Invalid request: `pending-install-malformed`.
/// - Retry after, misconfigured, upstream: the shops cannot be read now. The tokens may work nevertheless.
#[maybe_async]
pub async fn install_shops(effects: &impl Effects, pending: &[u8]) -> Result<Vec<ListedShop>, Error> {
    let PendingInstall { record, .. } = PendingInstall::decode(pending)?;
    let app = apps::fetch(effects, record.app_key()).await?;
    match read_shops(effects, &app, &record).await {
        Ok(listing) => Ok(listing.list.shops),
        Err(fault) if token_refused(&fault.error) => Err(fault.error.with_cause(Cause::TokenRefused)),
        Err(fault) => Err(fault.error),
    }
}
