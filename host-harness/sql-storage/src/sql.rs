//! The parts of every statement: its text and values, the columns that it reads, its errors, and the dialect of its
//! database.

mod code;
pub(crate) mod columns;
pub(crate) mod dialect;
pub(crate) mod error;
pub(crate) mod run;
pub(crate) mod statement;
mod text;
pub(crate) mod together;
