//! The steps of a run, by subject.

mod calls;
mod consent;
mod ending;
mod refresh;
mod replay;
mod token_host;
mod waiting;
pub(crate) mod webhooks;
