//! Everything that the program prints: results on standard output; notes, warnings and errors on standard error.

mod connection;
mod install;
mod json;
mod json_body;
mod report;
mod terminal;
mod words;

pub(crate) use self::connection::print_connection;
pub(crate) use self::install::print_install;
pub(crate) use self::json::{Ciphers, ConnectionLine, EventLine, FailureLine, ShopLine, cipher};
pub(crate) use self::json_body::JsonBody;
pub(crate) use self::report::{LastKeyErrors, OutputFormat, Report, finish};
pub(crate) use self::terminal::{Answer, BAD, GOOD, ask, can_ask, confirm, note};
pub(crate) use self::words::{count, end, time};
