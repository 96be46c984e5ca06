//! Every machine sweeps. It takes a lock that ends after a minute, reads the row under the lock, refreshes, saves, and
//! releases the lock. After an unknown outcome it sends the same token again. After a rejection it reads the row again,
//! because another machine may have refreshed. This is what platforms have after they met their first race, with Redis
//! or with a column of their database.

use super::plain::{TIMEOUT, store};
use crate::years::process::{Process, Reply};

/// The life of the lock in milliseconds, by the clock of the database.
const LOCK_LIFE: u64 = 60_000;
/// The pauses after the first and the second attempt. With the time-outs they fit into the life of the lock.
const PAUSES: [u64; 2] = [1_000, 2_000];

pub(crate) async fn run(process: Process) {
    let Ok(true) = process.storage(|world| world.plain.is_due(world)).await else { return };
    let owner = process.world(|world| world.rng.u64(..));
    let locked = process.storage(|world| {
        let now = world.now;
        if world.plain.lock.is_some_and(|(_, ends)| now < ends) {
            return None;
        }
        world.plain.lock = Some((owner, now + LOCK_LIFE));
        Some(world.plain.clone())
    });
    let Ok(Some(row)) = locked.await else { return };
    if process.world(|world| row.is_due(world)) {
        refresh(&process, &row.refresh, owner).await;
    }
    let _lapses = process
        .storage(|world| {
            world.plain.lock.take_if(|(held_by, _)| *held_by == owner);
        })
        .await;
}

async fn refresh(process: &Process, token: &str, owner: u64) {
    for pause in PAUSES.into_iter().map(Some).chain([None]) {
        match process.send(token, TIMEOUT).await {
            Reply::Pair(pair) => {
                let saved = process.storage(|world| {
                    store(world, pair);
                    world.plain.lock.take_if(|(held_by, _)| *held_by == owner);
                });
                if saved.await.is_err() {
                    process.world(|world| world.save_failed(pair.number));
                }
                return;
            }
            Reply::Rejected => return process.mark_dead_unless_replaced(token).await,
            Reply::NotConnected | Reply::Limited | Reply::Lost | Reply::ServerError | Reply::Page => {
                let Some(pause) = pause else { return };
                process.sleep(pause).await;
            }
        }
    }
}
