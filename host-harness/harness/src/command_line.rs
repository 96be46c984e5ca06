//! The commands. Each stands in a file of its own, works with its [`settings`] and puts what it finds into a
//! [`output::Report`]; [`output`] alone writes, and [`failure`] alone says what an exit status means.

mod access_token;
mod authorization_url;
mod browser;
mod call;
mod connect;
mod connection_view;
mod contract;
mod disconnect;
mod documentation;
mod events;
mod failure;
mod fake;
mod getting_started;
mod input;
mod inspect;
mod keys;
mod link_shops;
mod list_connections;
mod list_shops;
mod output;
mod refresh;
mod runtime;
mod settings;
mod shapes;
mod sign;
mod sweep;
mod usage;
mod verify_webhook;
mod webhook;
mod words;

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use self::failure::{Failure, STATUSES};
use self::output::Report;

/// The TikTok Shop connector on the command line, for operators and testers.
#[derive(Parser)]
#[command(name = "tiktok-shop-harness", version, subcommand_required = false, arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Print JSON: an object a line, errors included
    #[arg(long, global = true)]
    json: bool,

    /// Show the host library's log on standard error; it holds no secret
    #[arg(long, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    AuthorizationUrl(authorization_url::AuthorizationUrl),
    Connect(connect::Connect),
    Refresh(refresh::Refresh),
    ListShops(list_shops::ListShops),
    ListConnections(list_connections::ListConnections),
    LinkShops(link_shops::LinkShops),
    AccessToken(access_token::AccessToken),
    Call(call::Call),
    Disconnect(disconnect::Disconnect),
    Webhook(webhook::TakeWebhook),
    Events(events::Events),
    Sweep(sweep::SweepAll),
    Keys(keys::KeysCommand),
    Fake(fake::Fake),
    Contract(contract::Contract),
    Inspect(inspect::Inspect),
    Sign(sign::Sign),
    VerifyWebhook(verify_webhook::VerifyWebhook),
    /// Print docs/command-line.md
    #[command(hide = true)]
    Documentation,
}

const EXAMPLES: &str = "\
Without arguments it says how to try it, and where its files are. COMMAND --help has examples.

Example, the sample request of TikTok's page sign-your-api-request:

  $ echo '{\"app_key\": \"29a39d\", \"app_secret\": \"e59af819cc\", \"timestamp\": 1623812664,
          \"path\": \"/authorization/202309/shops\"}' | tiktok-shop-harness sign
  b596b73e0cc6de07ac26f036364178ab16b0a907af13d43f0a0cd2345f582dc8

docs/command-line.md has all of this on one page, docs/signatures.md the rules of signatures.

Exit status:";

const COLOUR: &str = "NO_COLOR=1 turns colour off; there is none unless the output is a terminal.";

/// Columns of a help.
const WIDTH: usize = 100;

/// The command line with its help, which lists the exit statuses.
fn command_line() -> clap::Command {
    let statuses: String = STATUSES.iter().map(|(status, meaning)| wrapped(&status.to_string(), meaning)).collect();
    Arguments::command().after_help(format!("{EXAMPLES}\n{statuses}\n{COLOUR}"))
}

/// A label of five columns with a text beside it.
fn wrapped(label: &str, text: &str) -> String {
    let mut lines = vec![format!("{label:>4} ")];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("      {word}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

pub(crate) fn run() -> ExitCode {
    let arguments = command_line().try_get_matches().and_then(|matches| {
        use clap::FromArgMatches as _;
        Arguments::from_arg_matches(&matches)
    });
    let Arguments { command, json, verbose } = match arguments {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Whoever has gone does not need it.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let report = Report::new(std::env::args_os().any(|argument| argument == "--json"));
            return output::write(report, Err(usage::failure(&error)));
        }
    };
    // Their own --json is no promise of an object for an error.
    let signs = matches!(command, Some(Command::Sign(_) | Command::VerifyWebhook(_)));
    let mut report = Report::new(json && !signs);
    let outcome = match command {
        None => {
            getting_started::run(&mut report);
            Ok(())
        }
        Some(Command::Documentation) => {
            report.raw(documentation::page(command_line()).as_bytes());
            Ok(())
        }
        Some(Command::Sign(sign)) => read().and_then(|text| Ok(sign.run(&text, &mut report)?)),
        Some(Command::VerifyWebhook(verify)) => read().and_then(|text| Ok(verify.run(&text, &mut report)?)),
        Some(command) => runtime::run(verbose, command.run(&mut report)),
    };
    output::write(report, outcome)
}

fn read() -> Result<String, Failure> {
    Ok(input::read(io::stdin().lock())?)
}

impl Command {
    /// Of a command that waits for things.
    async fn run(self, report: &mut Report) -> Result<(), Failure> {
        match self {
            Self::AuthorizationUrl(command) => command.run(report).await,
            Self::Connect(command) => command.run(report).await,
            Self::Refresh(command) => command.run(report).await,
            Self::ListShops(command) => command.run(report).await,
            Self::ListConnections(command) => command.run(report).await,
            Self::LinkShops(command) => command.run(report).await,
            Self::AccessToken(command) => command.run(report).await,
            Self::Call(command) => command.run(report).await,
            Self::Disconnect(command) => command.run(report).await,
            Self::Webhook(command) => command.run(report).await,
            Self::Events(command) => command.run(report).await,
            Self::Sweep(command) => command.run(report).await,
            Self::Keys(command) => command.run(report).await,
            Self::Fake(command) => command.run(report).await,
            Self::Contract(command) => command.run(report).await,
            Self::Inspect(command) => command.run(report).await,
            Self::Sign(_) | Self::VerifyWebhook(_) | Self::Documentation => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command_line().debug_assert();
    }
}
