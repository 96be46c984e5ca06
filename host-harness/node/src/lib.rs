//! The addon of the package for Node.js. Only the package's JavaScript calls these functions.
//!
//! Arguments and results are JSON texts, which are read and written on the threads of this addon, so that Node.js's
//! event loop does little work. A request runs on a task of its own. It continues until its end, even if JavaScript
//! does not wait for it, and Node.js stays alive until then.

mod case;
mod foreign;
mod host;
mod logs;
mod outcomes;
mod runtime;

pub use self::foreign::answer;
pub use self::host::{NativeHost, check_contract};
pub use self::logs::{forward_logs, take_logs};
