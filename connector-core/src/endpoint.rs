//! One file per call to TikTok Shop: how the request is built and how its answer is read.

pub mod api;
pub mod business;
pub mod deauthorize;
pub mod shops;
pub mod token;
