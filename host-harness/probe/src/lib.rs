//! Finds out with a development shop how TikTok Shop behaves where its documentation leaves a question open.
//!
//! [`run`](run::run) sends requests to TikTok Shop by itself, because the connector hides HTTP statuses and the members
//! of answers. It works with a grant of its own, and touches no database. Each question of [`Switch`](switch::Switch)
//! gets a [`Finding`](finding::Finding). A finding names a value only if no other value fits what was seen.
//!
//! The order of the steps is fixed. Reads come first, then refreshes and a second consent, which daily use does, too.
//! Steps that might end the consent come last, and only if [`Settings::risk`](settings::Settings::risk) allows them.
//!
//! The [`Report`](report::Report) contains no secret and no id. A fake reads it with `fake --as`, and then behaves as
//! TikTok Shop was seen to do.
//!
//! ```
//! use tiktok_shop_probe::run::run;
//! use tiktok_shop_probe::settings::Settings;
//! use tiktok_shop_probe::world::World;
//!
//! async fn probe<W: World>(settings: Settings, world: &mut W) -> Result<(), Box<dyn std::error::Error>> {
//!     // Somebody must agree to the plan first.
//!     settings.plan().iter().for_each(|line| world.say(line));
//!     let report = run(settings, world).await?;
//!     std::fs::write("probe.json", report.json().to_string())?;
//!     Ok(())
//! }
//! ```

pub mod finding;
pub mod http;
pub mod report;
pub mod run;
pub mod settings;
pub mod switch;
pub mod webhook_receiver;
pub mod world;

mod missing_option;
mod notification;
mod secrets;
mod session;
mod step;
mod words;
