//! `tiktok-shop-harness`: the reference host on the command line, for operators and testers.

mod command_line;

use std::process::ExitCode;

fn main() -> ExitCode {
    command_line::run()
}
