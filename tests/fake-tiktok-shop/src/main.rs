//! Starts a fake TikTok Shop and says where to look.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use fake_tiktok_shop::{App, Clock, FakeTikTokShop, Options};
use serde_json::{Value, json};

/// A fake TikTok Shop on 127.0.0.1, for tests and demos: consent page, tokens, authorized shops.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Port to listen on; 0 is any free one
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Where a seller's browser goes after the consent [default: a page of the fake that shows the callback]
    #[arg(long, value_name = "ADDRESS")]
    redirect: Option<String>,

    /// Time to start at, in Unix seconds; the clock ticks from there [default: the system's time]
    #[arg(long, value_name = "UNIX_SECONDS")]
    now: Option<u64>,

    /// Print one line of JSON in place of the text
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
    let mut options = Options { port: arguments.port, ..Options::default() };
    if let Some(now) = arguments.now {
        options.clock = Clock::ticking_from(now);
    }
    if let Some(redirect) = arguments.redirect {
        for app in &mut options.apps {
            app.redirect_address = Some(redirect.clone());
        }
    }
    let fake = FakeTikTokShop::start(options).map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            format!("port {} is in use; choose another with --port", arguments.port)
        } else {
            error.to_string()
        }
    })?;

    let text = if arguments.json { format!("{}\n", as_json(&fake)) } else { as_text(&fake) };
    // Nobody may be reading; the fake serves all the same.
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());

    tokio::signal::ctrl_c().await.map_err(|error| error.to_string())
}

fn consent(fake: &FakeTikTokShop, app: &App) -> String {
    fake.consent_address(&app.service_id, "a-state-of-your-own")
}

fn as_json(fake: &FakeTikTokShop) -> Value {
    let address = fake.address();
    let apps = fake.control().apps().into_iter().map(|app| {
        json!({
            "name": app.name,
            "app_key": app.app_key,
            "app_secret": app.app_secret,
            "service_id": app.service_id,
            "consent": consent(fake, &app),
        })
    });
    json!({
        "address": address,
        "start_page": format!("http://{address}/"),
        "control": format!("http://{address}/_control"),
        "apps": apps.collect::<Vec<_>>(),
        "sellers": fake.control().sellers().into_iter().map(|seller| seller.id).collect::<Vec<_>>(),
    })
}

fn as_text(fake: &FakeTikTokShop) -> String {
    let address = fake.address();
    let mut text = format!(
        "Fake TikTok Shop is listening on {address}. All keys and secrets are invented.\n\n\
         start page   http://{address}/\n\
         control      http://{address}/_control\n"
    );
    for app in fake.control().apps() {
        text.push_str(&format!(
            "\napp          {}\n  consent    {}\n  app key    {}\n  app secret {}\n  service id {}\n",
            app.name,
            consent(fake, &app),
            app.app_key,
            app.app_secret,
            app.service_id,
        ));
    }
    text.push_str("\nStop it with Ctrl-C.\n");
    text
}
