//! Each call that finds an expired access token refreshes it and saves the answer. Nothing is coordinated. This is what
//! most first versions and many client libraries do.

use super::plain::TIMEOUT;
use crate::years::process::{Process, Reply};

pub(crate) async fn run(process: Process) {
    let Ok(row) = process.storage(|world| world.plain.clone()).await else { return };
    if row.dead || !process.world(|world| row.is_expired(world, process.machine)) {
        return;
    }
    match process.send(&row.refresh, TIMEOUT).await {
        Reply::Pair(pair) => {
            let _unsaved = process.save(pair).await;
        }
        Reply::Rejected => process.mark_dead().await,
        Reply::NotConnected | Reply::Limited | Reply::Lost | Reply::ServerError | Reply::Page => {}
    }
}
