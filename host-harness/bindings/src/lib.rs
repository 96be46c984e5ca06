//! The host library for other languages. Options, requests and results are JSON values, so that a package for Node.js
//! or Python only converts values of its language.
//!
//! [`Binding`] is a host with its storage, keys and apps. [`Binding::perform`] makes every call of the library. Names
//! of members are in snake case, ids are text, and times are seconds since 1970. Through [`Foreign`], the host calls
//! functions of the other language: for a storage, for host keys, for app credentials, and for webhooks that the
//! platform handles.
//!
//! A request continues until its end, even if the other language stops waiting for it. [`Binding::close`] accepts no
//! further requests and waits for those that have begun.

mod binding;
mod clock;
mod error;
mod fake;
mod foreign;
mod foreign_keys;
mod foreign_storage;
mod host_keys;
mod key_options;
mod keys;
mod logs;
mod operations;
mod options;
mod request;
mod shape;
mod threads;
mod webhooks;

pub use self::binding::{Begun, Binding, Parts};
pub use self::error::BindingError;
pub use self::foreign::{Foreign, ForeignError, WaitsFor};
pub use self::foreign_storage::{ForeignStorage, check_storage, storage_checks};
pub use self::logs::forward_logs;
pub use self::options::HostOptions;
pub use self::request::{Reply, Request};
pub use self::threads::start_threads;
