//! The life of a connection on a terminal: the shipped component, the reference host and the fake TikTok Shop, in one
//! process. Every step checks what it shows; the exit status is 1 as soon as a check fails.

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
/// Needs no account, no network and no configuration: a fake TikTok Shop runs inside, and clocks are moved rather than
/// waited for.
#[derive(Debug, Parser)]
#[command(name = "tiktok-shop-demo")]
struct Arguments {
    #[command(flatten)]
    programs: Programs,
    /// Also show which imports the component called at each step, and when it sent its requests.
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
            // Nothing is left to do if standard error is closed as well.
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
