//! An ideal strategy, as a lower bound. It knows at once what happens on every machine, so two of its runs never
//! disturb each other. It sends again at once after an unknown outcome, waits for every answer, and keeps a pair in
//! memory until the storage has taken it. It loses a connection only if TikTok has acted, the answer got lost or the
//! process was killed before the storage had the answer, and TikTok then rejects the old token.

use super::plain::store;
use crate::years::process::{Process, Reply};

/// The pause before a repetition, in milliseconds.
const PAUSE: u64 = 200;

pub(crate) async fn run(process: Process) {
    let Ok(true) = process.storage(|world| world.plain.is_due(world)).await else { return };
    // If TikTok forgives a repetition, a machine need not wait for another one that stalls.
    let waits = process.world(|world| {
        let waits = world.sending.is_some_and(|other| !world.is_forgiving() || !world.stalls(other));
        world.sending = world.sending.filter(|_| waits).or(Some(process.machine));
        waits
    });
    if waits {
        return;
    }
    let token = process.world(|world| world.plain.refresh.clone());
    loop {
        match process.send(&token, u64::MAX).await {
            Reply::Pair(pair) => {
                while process.storage(|world| store(world, pair)).await.is_err() {
                    process.world(|world| world.save_failed(pair.number));
                    process.sleep(PAUSE).await;
                }
                break;
            }
            Reply::Rejected => {
                process.world(|world| world.plain.dead |= world.plain.refresh == token);
                break;
            }
            Reply::NotConnected | Reply::Limited | Reply::Lost | Reply::ServerError | Reply::Page => {
                process.sleep(PAUSE).await;
            }
        }
    }
    process.world(|world| world.sending.take_if(|sending| *sending == process.machine));
}
