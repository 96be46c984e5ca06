//! Starts a fake TikTok Shop and prints its addresses.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use fake_tiktok_shop::Launch;
use tokio::signal::unix::{SignalKind, signal};

/// A fake TikTok Shop for tests and demos: consent page, tokens, shops, a signed API and webhooks.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    launch: Launch,

    /// Print one line of JSON instead of text
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            #[allow(clippy::print_stderr, reason = "this is the program's own message to its user")]
            {
                eprintln!("fake-tiktok-shop: {message}");
            }
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let fake = arguments.launch.start()?;
    if let Some(warning) = fake.warning() {
        #[allow(clippy::print_stderr, reason = "this is the program's own message to its user")]
        {
            eprintln!("fake-tiktok-shop: warning: {warning}");
        }
    }
    let text = if arguments.json {
        format!("{}\n", fake.announcement_json())
    } else {
        format!("{}\nStop it with Ctrl-C.\n", fake.announcement())
    };
    // If standard output is closed, the fake serves requests nevertheless.
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());

    // If a program is the first process of a container, SIGTERM has no effect unless the program handles the signal.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map_err(|error| error.to_string()),
        _ = terminate.recv() => Ok(()),
    }
}
