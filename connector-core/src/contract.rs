//! The times that the connector and its host agree on. Three durations protect refresh tokens: the life of a claim, the
//! longest request for tokens, and the longest save. Two more constants say when a seller is warned about the end of an
//! authorization.
//!
//! A claim is a note in the stored token record. It says that one call is sending the refresh token now. The life of a
//! claim must be longer than the longest request and the longest save together. The connector relies on these
//! durations, and the host must keep them. All of this is defined only here: the host, the simulation and the tests use
//! these constants.
//!
//! ```
//! use tiktok_shop_connector_core::contract::{CLAIM_LIFE, REQUEST_BUDGET, SAVE_BUDGET};
//!
//! // When more than 80 s have passed since the claim was written, the request is not sent any more.
//! assert_eq!((CLAIM_LIFE - REQUEST_BUDGET - SAVE_BUDGET).as_secs(), 80);
//! ```

use core::time::Duration;

/// The life of a claim, measured by the clock of the storage: 120 s. Until this time has passed, no other call sends
/// the refresh token that the claim covers.
pub const CLAIM_LIFE: Duration = Duration::from_secs(120);

/// The longest time that one request to TikTok's token server (`auth.tiktok-shops.com`) may take: 30 s. The program
/// that embeds the connector ends each such request before 30 s have passed.
pub const REQUEST_BUDGET: Duration = Duration::from_secs(30);

/// The longest time that all tries of one save may take together: 10 s.
pub const SAVE_BUDGET: Duration = Duration::from_secs(10);

/// The host writes an expiry notice when an authorization ends within one of these numbers of days. The most urgent
/// number comes first.
pub const NOTICE_DAYS: [u8; 3] = [1, 7, 30];

/// A connection has the status `authorization-ending` if its authorization ends within this many seconds: 30 days. The
/// first notice is written at the same time, so that the status and the notices agree.
pub const ENDING_NOTICE: u64 = {
    let [_, _, first] = NOTICE_DAYS;
    first as u64 * 86_400
};

// The life of a claim must be longer than one request and the save of its answer together.
const _: () = assert!(REQUEST_BUDGET.as_secs() + SAVE_BUDGET.as_secs() < CLAIM_LIFE.as_secs());

#[cfg(test)]
mod tests {
    use super::*;

    /// Every change of one of these three durations is a breaking change: a host that was built with the old value
    /// could send a refresh token twice.
    #[test]
    fn the_contract_stays_at_120_30_and_10_seconds() {
        assert_eq!([CLAIM_LIFE, REQUEST_BUDGET, SAVE_BUDGET].map(|time| time.as_secs()), [120, 30, 10]);
    }

    #[test]
    fn a_seller_is_first_warned_30_days_before_the_end() {
        assert_eq!((NOTICE_DAYS, ENDING_NOTICE), ([1, 7, 30], 30 * 24 * 60 * 60));
    }
}
