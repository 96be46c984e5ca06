//! Every decision of the TikTok Shop connector, without I/O.
//!
//! The crate decides how a consent becomes a stored connection, when and how its tokens are renewed, what an answer of
//! TikTok Shop means, and what the host should do next. It never reads a clock, draws a random number, opens a socket or
//! touches storage: all of that is asked for through [`ports::Effects`], so a crash at any effect can be played in a
//! test, and the component around it only translates.
//!
//! Where a thing is decided:
//!
//! | question | module |
//! | --- | --- |
//! | what does this callback mean? | [`callback`] |
//! | what does this answer mean? | [`envelope`], [`endpoint`] |
//! | what does this webhook say? | [`webhook`] |
//! | when is a token due, until when is it served? | [`token`] |
//! | may this call spend the refresh token, and what is stored afterwards? | [`rotation`] |
//! | what does the customer's row say? | [`connection`] |
//! | what should the host do? | [`error`] |
//! | in which order do the effects happen? | [`operation`] |
//!
//! ```
//! use tiktok_shop_connector_core::token::{Expiry, due_at};
//! use tiktok_shop_connector_core::time::UnixSeconds;
//!
//! let now = UnixSeconds::new(1_767_225_600);
//! let end = Expiry::believed(Some(now.plus(7 * 86_400)), now);
//! // Seven days of life: due one day before the end, plus a jitter that is only ever later.
//! assert_eq!(due_at(end, now, 0), now.plus(6 * 86_400));
//! ```
#![no_std]

extern crate alloc;

pub mod authorization_link;
pub mod callback;
pub mod connection;
pub mod endpoint;
pub mod envelope;
pub mod error;
pub mod http;
pub mod identity;
pub mod json;
pub mod operation;
pub mod ports;
pub mod record;
pub mod rotation;
pub mod secret;
pub mod signing;
pub mod time;
pub mod token;
pub mod webhook;
