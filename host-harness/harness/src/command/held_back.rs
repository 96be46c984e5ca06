//! Says why a connection is held back after failures, and what helps.

use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_host::connection::PastFailure;
use tiktok_shop_host::{AccountId, CallError, CustomerId, ShopId};

use crate::failure::Failure;
use crate::output::time;
use crate::settings::{FakeAddress, OpenedStorage};

/// The connection that a command uses, as the arguments of the command name it.
pub(super) struct Subject<'a> {
    pub(super) opened: &'a OpenedStorage,
    pub(super) fake: Option<FakeAddress>,
    pub(super) customer: &'a CustomerId,
    pub(super) account: Option<&'a AccountId>,
    /// The shop of a call. `None` if the command does not concern one shop.
    pub(super) shop: Option<&'a ShopId>,
}

impl Subject<'_> {
    /// Converts an error into a failure. If the error is `backing-off` and the latest failure of the connection is
    /// known, the result also says why the connection is held back.
    pub(super) async fn explained(&self, error: CallError) -> Failure {
        if error.code() != Cause::BackingOff.code() {
            return error.into();
        }
        match self.past_failure().await {
            Some(past) => Failure::HeldBack { error: Box::new(error), why: latest(&past), next: self.next() },
            None => error.into(),
        }
    }

    /// Returns what the user can do while the connection is held back.
    pub(super) fn next(&self) -> String {
        let customer = self.customer;
        match self.fake {
            Some(_) => format!(
                "if the fake was restarted, it has forgotten this connection: connect it again with authorization-url \
                 {customer}"
            ),
            None => format!("remove the cause, and try at once with refresh {customer} --force"),
        }
    }

    /// Returns the latest failure of the connection. Returns `None` if the connection has no failure or the storage
    /// does not answer. The caller then shows the error without this explanation.
    async fn past_failure(&self) -> Option<PastFailure> {
        let Self { opened, customer, account, shop, .. } = self;
        let rows = opened.storage.list_rows(&opened.tenant, customer).await.ok()?;
        let connections = rows.into_iter().filter_map(|entry| Some(entry.row.decode().ok()?.connection));
        let meant = connections.filter(|connection| {
            account.is_none_or(|account| connection.key.account == *account)
                && shop.is_none_or(|id| connection.shops.iter().any(|shop| shop.id == *id))
        });
        meant.filter_map(|connection| connection.last_failure).max_by_key(|past| past.at)
    }
}

/// Describes the latest failure and its time.
fn latest(past: &PastFailure) -> String {
    format!("{} at {}", past.failure, time(past.at))
}
