//! A call takes a lock in the memory of its process, looks again whether the token is expired, and then refreshes. This
//! is what libraries with a mutex or a "single flight" do.

use super::plain::TIMEOUT;
use crate::years::process::{Process, Reply};

/// The pause between two attempts to take the lock.
const PAUSE: u64 = 20;

pub(crate) async fn run(process: Process) {
    let is_expired = async || {
        let row = process.storage(|world| world.plain.clone()).await.ok()?;
        (!row.dead && process.world(|world| row.is_expired(world, process.machine))).then_some(row)
    };
    if is_expired().await.is_none() {
        return;
    }
    while process.world(|world| std::mem::replace(&mut world.locked[process.machine], true)) {
        process.sleep(PAUSE).await;
    }
    if let Some(row) = is_expired().await {
        match process.send(&row.refresh, TIMEOUT).await {
            Reply::Pair(pair) => {
                let _unsaved = process.save(pair).await;
            }
            Reply::Rejected => process.mark_dead_unless_replaced(&row.refresh).await,
            Reply::NotConnected | Reply::Limited | Reply::Lost | Reply::ServerError | Reply::Page => {}
        }
    }
    process.world(|world| world.locked[process.machine] = false);
}
