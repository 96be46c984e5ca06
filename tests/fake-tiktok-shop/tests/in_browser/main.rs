//! Tries the pages of the fake in a real browser: Chromium, driven by chromedriver over WebDriver.
//!
//! On a machine without Chromium, these tests print that the pages were not tried, and pass. In CI they fail instead.
//! If the variable `TIKTOK_SHOP_TEST_PICTURES` names a folder, the tests write a picture of every page there.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests may panic, and print what they did not try"
)]

mod browser;
mod layout;
mod stage;
mod stories;
