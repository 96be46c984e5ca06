//! The endpoints of TikTok Shop that the core uses. Each file builds requests and reads their answers.
//!
//! `token`, `shops` and `deauthorize` are one endpoint or a pair of endpoints each. `business` is any endpoint that a
//! caller of `call` names. `api` signs all requests except those of `token`.

pub mod api;
pub mod business;
pub mod deauthorize;
pub mod shops;
pub mod token;
