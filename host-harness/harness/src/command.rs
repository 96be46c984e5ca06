//! The commands, one file each.

mod access_token;
mod api_keys;
mod authorization_url;
mod call;
mod check_config;
mod completions;
mod connect;
mod contract;
mod disconnect;
mod documentation;
mod events;
mod export;
mod fake;
mod getting_started;
mod held_back;
mod import;
mod inspect;
mod keys;
mod left_out;
mod link_shops;
mod list_connections;
mod list_shops;
mod man;
mod migrate;
mod probe;
mod refresh;
mod serve;
mod sign;
mod sweep;
mod verify_webhook;
mod webhook;
mod webhook_secret;

use std::io;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Report;
use crate::{input, runtime};

/// A command with its arguments.
#[derive(Subcommand)]
pub(crate) enum Command {
    AuthorizationUrl(authorization_url::AuthorizationUrl),
    Connect(connect::Connect),
    Import(import::Import),
    Export(export::Export),
    Refresh(refresh::Refresh),
    ListShops(list_shops::ListShops),
    ListConnections(list_connections::ListConnections),
    LinkShops(link_shops::LinkShops),
    AccessToken(access_token::AccessToken),
    Call(call::Call),
    Disconnect(disconnect::Disconnect),
    Webhook(webhook::AcceptWebhook),
    Events(events::Events),
    Sweep(sweep::SweepConnections),
    Keys(keys::Keys),
    Migrate(migrate::Migrate),
    Serve(serve::Serve),
    CheckConfig(check_config::CheckConfig),
    ApiKeys(api_keys::ApiKeys),
    WebhookSecret(webhook_secret::WebhookSecret),
    Fake(fake::Fake),
    Probe(probe::Probe),
    Contract(contract::Contract),
    Inspect(inspect::Inspect),
    Sign(sign::Sign),
    VerifyWebhook(verify_webhook::VerifyWebhook),
    Completions(completions::Completions),
    Man(man::ManualPage),
    /// Print docs/command-line.md
    #[command(hide = true)]
    Documentation,
}

/// Runs a command. Without a command, shows how to begin. `definition` returns the definition of the command line. The
/// command `documentation` writes its page from this definition.
pub(crate) fn run(
    command: Option<Command>,
    definition: impl FnOnce() -> clap::Command,
    report: &mut Report,
) -> Result<(), Failure> {
    match command {
        None => getting_started::run(report),
        Some(Command::Documentation) => report.raw(documentation::page(definition()).as_bytes()),
        Some(Command::Completions(completions)) => completions.run(definition(), report),
        Some(Command::Man(man)) => man.run(definition(), report)?,
        Some(Command::ApiKeys(keys)) => keys.run(report)?,
        Some(Command::WebhookSecret(secret)) => secret.run(report)?,
        Some(Command::Sign(sign)) => sign.run(&input::read(io::stdin().lock())?, report)?,
        Some(Command::VerifyWebhook(verify)) => verify.run(&input::read(io::stdin().lock())?, report)?,
        Some(command) => {
            let stop = report.stop.clone();
            return runtime::run(command.run(report), &stop);
        }
    }
    Ok(())
}

impl Command {
    /// Returns whether the command runs until a signal ends it, and logs meanwhile.
    pub(crate) const fn is_service(&self) -> bool {
        matches!(self, Self::Serve(_))
    }

    /// Runs a command that needs the asynchronous runtime. The other commands never reach this function, because the
    /// function [`run`] runs them itself.
    async fn run(self, report: &mut Report) -> Result<(), Failure> {
        match self {
            Self::AuthorizationUrl(command) => command.run(report).await,
            Self::Connect(command) => command.run(report).await,
            Self::Import(command) => command.run(report).await,
            Self::Export(command) => command.run(report).await,
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
            Self::Migrate(command) => command.run(report).await,
            Self::Serve(command) => command.run(report).await,
            Self::CheckConfig(command) => command.run(report).await,
            Self::Fake(command) => command.run(report).await,
            Self::Probe(command) => command.run(report).await,
            Self::Contract(command) => command.run(report).await,
            Self::Inspect(command) => command.run(report).await,
            Self::ApiKeys(_)
            | Self::Completions(_)
            | Self::Documentation
            | Self::Man(_)
            | Self::Sign(_)
            | Self::VerifyWebhook(_)
            | Self::WebhookSecret(_) => Ok(()),
        }
    }
}
