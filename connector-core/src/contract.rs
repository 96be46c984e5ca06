//! The three times that the connector and its host agree on: the life of a claim, the longest request for tokens, and
//! the longest save.
//!
//! A claim is a note in the stored record that one call is sending the refresh token now. The connector plans with
//! these numbers, and the host must keep them: a claim must live longer than the request that it covers and the save of
//! the new tokens together. Nothing else in the workspace states these numbers; the host, the simulation and the tests
//! take them from here.
//!
//! ```
//! use tiktok_shop_connector_core::contract::{CLAIM_LIFE, REQUEST_BUDGET, SAVE_BUDGET};
//!
//! // When more than 80 s have passed since the claim was written, the request is not sent any more.
//! assert_eq!((CLAIM_LIFE - REQUEST_BUDGET - SAVE_BUDGET).as_secs(), 80);
//! ```

use core::time::Duration;

/// The life of a claim, measured by the clock of the storage: 120 s. While a claim lives, no other call sends the
/// refresh token that the claim covers.
pub const CLAIM_LIFE: Duration = Duration::from_secs(120);

/// The longest time that one request to TikTok's token server (`auth.tiktok-shops.com`) may take: 30 s. The program
/// that embeds the connector ends each such request before this time has passed.
pub const REQUEST_BUDGET: Duration = Duration::from_secs(30);

/// The longest time that all tries of one save may take together: 10 s.
pub const SAVE_BUDGET: Duration = Duration::from_secs(10);

// A claim covers one request and the save of its answer.
const _: () = assert!(REQUEST_BUDGET.as_secs() + SAVE_BUDGET.as_secs() < CLAIM_LIFE.as_secs());

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that was built for other numbers could send a refresh token twice, so every change of these numbers is a
    /// breaking change.
    #[test]
    fn the_contract_stays_at_120_30_and_10_seconds() {
        assert_eq!([CLAIM_LIFE, REQUEST_BUDGET, SAVE_BUDGET].map(|time| time.as_secs()), [120, 30, 10]);
    }
}
