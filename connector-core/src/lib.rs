//! Makes every decision of the TikTok Shop connector, without I/O.
//!
//! The crate decides how a consent becomes a stored connection, when and how its tokens are renewed, what an answer of
//! TikTok Shop means, and what the host should do next. It never reads a clock, draws a random number, opens a socket
//! or accesses storage. It asks its host for all of that through [`ports::Effects`]. A test can therefore end a call at
//! any effect. The component that contains this crate only translates between the crate and the host.
//!
//! The modules answer these questions:
//!
//! | question | module |
//! | --- | --- |
//! | which times do the connector and its host agree on? | [`contract`] |
//! | what does this callback mean? | [`callback`] |
//! | which grant does another system bring? | [`existing_grant`] |
//! | which grant waits for a confirmation? | [`pending_install`] |
//! | what does this answer mean? | [`http`], [`envelope`], [`endpoint`] |
//! | what does this webhook say? | [`webhook`] |
//! | when is a token due, and until when is it served? | [`token`] |
//! | may this call spend the refresh token? | [`rotation`] |
//! | what is stored about the tokens, and how does it change? | [`record`] |
//! | what does the customer's row show? | [`connection`] |
//! | what should the host do? | [`error`] |
//! | in which order do the effects happen? | [`operation`] |
//!
//! ```
//! use tiktok_shop_connector_core::token::{Expiry, due_at};
//! use tiktok_shop_connector_core::time::UnixSeconds;
//!
//! let now = UnixSeconds::new(1_767_225_600);
//! let end = Expiry::believed(Some(now.plus(7 * 86_400)), now);
//! // A token with a life of seven days is due one day before its end. The jitter can only make the renewal later.
//! // Here, the jitter is 0.
//! assert_eq!(due_at(end, now, 0), now.plus(6 * 86_400));
//! ```
#![no_std]

extern crate alloc;

pub mod authorization_link;
pub mod callback;
pub mod connection;
pub mod contract;
pub mod credentials;
pub mod endpoint;
pub mod envelope;
pub mod error;
pub mod existing_grant;
pub mod http;
pub mod identity;
pub mod json;
pub mod operation;
pub mod pending_install;
pub mod ports;
pub mod record;
pub mod rotation;
pub mod secret;
pub mod signing;
pub mod time;
pub mod token;
pub mod webhook;
