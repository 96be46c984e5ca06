//! One worker, for example a cron job, refreshes all connections that are due, and saves the answers. There is never a
//! second worker, not even during a deploy.

use super::plain::TIMEOUT;
use crate::years::process::{Process, Reply};

pub(crate) async fn run(process: Process) {
    let Ok(row) = process.storage(|world| world.plain.clone()).await else { return };
    if !process.world(|world| row.is_due(world)) {
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
