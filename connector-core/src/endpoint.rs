//! The endpoints of TikTok Shop that the core uses. Each file builds requests and reads their answers.
//!
//! `token` has the two endpoints of TikTok's token server. `shops` and `deauthorize` have one endpoint each. `business`
//! is for `call`, which can use every other endpoint. `api` signs all requests except those of `token`.

pub mod api;
pub mod business;
pub mod deauthorize;
pub mod shops;
pub mod token;
