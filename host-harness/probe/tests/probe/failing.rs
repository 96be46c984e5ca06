//! Runs that end early.
