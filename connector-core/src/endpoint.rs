//! One file per endpoint of TikTok Shop. Each file builds the endpoint's request and reads its answer.

pub mod api;
pub mod business;
pub mod deauthorize;
pub mod shops;
pub mod token;
