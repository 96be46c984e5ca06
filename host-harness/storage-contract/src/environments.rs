//! Checks of the environment to which a storage belongs.

use tiktok_shop_host::storage::Environment;

use super::broken::{Broken, ensure_eq};
use super::trial::Trial;

pub(super) async fn a_storage_belongs_to_one_environment_for_good(trial: &Trial) -> Result<(), Broken> {
    // The storage may already belong to one of the two environments. If it belongs to none, the first call decides.
    let is_real = trial.storage.belongs_to(Environment::TikTokShop).await?;
    for _ in 0..2 {
        let answer = trial.storage.belongs_to(Environment::Fake).await?;
        ensure_eq!(answer, !is_real, "belongs_to(Fake), after belongs_to(TikTokShop) answered {is_real}");
        let answer = trial.storage.belongs_to(Environment::TikTokShop).await?;
        ensure_eq!(answer, is_real, "belongs_to(TikTokShop), asked again");
    }
    Ok(())
}
