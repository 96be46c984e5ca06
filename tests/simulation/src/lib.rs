//! Random histories of one connection. Calls on many machines interleave at every effect. They crash, pause for longer
//! than their claims live, and lose requests and answers. Storage does not always say whether it wrote.
//!
//! One seed is one run and always gives the same history.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this package, and a broken expectation is a failed test"
)]

mod answers;
mod connector;
mod host;
mod provider;
mod run;
mod strategy;
mod world;
pub mod years;

pub use self::connector::{
    ACCOUNT, APP_KEY, APP_SECRET, CUSTOMER, Call, Connector, MAX_RESPONSE_BYTES, MIN_VALIDITY, NamedAccount,
    NativeCore, ORDERS, ORDERS_BODY, Operation, Outcome, SHOP, signature,
};
pub use self::host::Host;
pub use self::provider::Policy;
pub use self::run::{Broken, Played, Seen, run};
pub use self::strategy::Strategy;
