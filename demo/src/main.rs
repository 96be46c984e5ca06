//! Shows the life of a connection on a terminal. The shipped component, two reference hosts and the fake TikTok Shop
//! run in this process. One step also starts the program `tiktok-shop-harness`. Every step checks what it shows. If a
//! check fails, the demo ends with exit status 1.

mod journal;
mod page;
mod stage;
mod story;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::page::Page;
use crate::stage::{Programs, Stage};

/// Shows the life of a connection between a platform's customer and TikTok Shop.
///
/// Needs no account, no network and no configuration. It runs a fake TikTok Shop, and moves its clocks forward instead
/// of waiting.
#[derive(Debug, Parser)]
#[command(name = "tiktok-shop-demo")]
struct Arguments {
    #[command(flatten)]
    programs: Programs,
    /// Also show which imports the component calls in each step, and when it sends its requests.
    #[arg(long)]
    explain: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut page = Page::new(arguments.explain);
    match run(arguments, &mut page).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, the error cannot be shown.
            let _ = writeln!(anstream::stderr(), "\nfailed in {}: {error:#}", page.place());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments, page: &mut Page) -> Result<()> {
    let mut stage = Stage::set(arguments.programs).await?;
    page.opening(&stage)?;
    story::tell(&mut stage, page).await?;
    page.closing()?;
    Ok(())
}
