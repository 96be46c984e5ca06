//! `api-keys`: manages the API keys of the service.

use std::io::{self, IsTerminal as _};

use clap::{Args, Subcommand};
use serde::Serialize;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::events::Actor;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_server::{ApiKey, Scope};

use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{one_line, visible_ascii};

/// Manage the API keys of the service
#[derive(Args)]
#[command(arg_required_else_help = false, after_help = AFTER_HELP)]
pub(crate) struct ApiKeys {
    #[command(subcommand)]
    command: ApiKeysCommand,
}

#[derive(Subcommand)]
enum ApiKeysCommand {
    Create(Create),
}

const AFTER_HELP: &str = "\
The configuration file contains only the SHA-256 of each key. To replace a key, create another one,
put both into the configuration file and restart the service, give the new key to the program that
uses it, and then remove the old one.

Example:

  $ tiktok-shop-harness api-keys create --name billing-2 --scopes read,call
  ttsk_…
  …

Exit status: 0 if the command succeeded; for others see tiktok-shop-harness --help.";

/// Draw a new API key, and print it with its lines for the configuration
#[derive(Args)]
#[command(after_help = "\
The first line is the secret key. It is printed only once, and is stored nowhere. Keep it in the
secret store of the program that uses it. Put the other lines into the configuration file of the
service.

The scopes are connect (consents, installs, link shops, refresh, shared connections, disconnect),
read (apps, connections, shops, events, deliveries), call (signed calls), token (access tokens) and
admin (imports and exports of tokens, redelivery of webhooks, tests of endpoints).

Example:

  $ tiktok-shop-harness api-keys create --name billing --tenant acme --scopes read,call
  ttsk_…
  …

Exit status: 0 if the key was printed; 3 if the system has no randomness; for others see
tiktok-shop-harness --help.")]
struct Create {
    /// Name of the key; events name it as the actor
    #[arg(long, value_name = "NAME", value_parser = one_line::<Actor>)]
    name: Actor,

    /// Tenant whose connections the key reaches
    #[arg(long, value_name = "ID", default_value = "default", value_parser = one_line::<TenantId>)]
    tenant: TenantId,

    /// What the key allows: connect, read, call, token, admin
    #[arg(long, value_name = "SCOPES", required = true, value_delimiter = ',', value_parser = visible_ascii::<Scope>)]
    scopes: Vec<Scope>,
}

#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    name: &'a str,
    tenant: &'a str,
    scopes: &'a [&'static str],
    sha256: &'a str,
}

impl ApiKeys {
    pub(crate) fn run(self, report: &mut Report) -> Result<(), Failure> {
        match self.command {
            ApiKeysCommand::Create(create) => create.run(report),
        }
    }
}

impl Create {
    fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { name, tenant, mut scopes } = self;
        scopes.sort_unstable();
        scopes.dedup();
        let key =
            ApiKey::draw(&SystemRandomness).map_err(|error| Failure::Unavailable(format!("no randomness: {error}")))?;
        let sha256 = key.digest().to_string();
        let scopes: Vec<_> = scopes.into_iter().map(Scope::as_str).collect();
        if report.is_json() {
            let (key, name, tenant) = (key.expose(), name.as_str(), tenant.as_str());
            report.json(&Line { key, name, tenant, scopes: &scopes, sha256: &sha256 });
            return Ok(());
        }
        let scopes: Vec<_> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
        if io::stdout().is_terminal() {
            report.note(
                "the first line is the secret key, which is shown only once: give it to the program that uses it; put \
                 the other lines into the configuration file of the service",
            );
        }
        report.line(key.expose());
        report.line("");
        report.line("[[api-keys]]");
        // For printable characters, a text in TOML has the same form as in JSON.
        report.line(&format!("name = {}", serde_json::Value::from(name.as_str())));
        report.line(&format!("tenant = {}", serde_json::Value::from(tenant.as_str())));
        report.line(&format!("scopes = [{}]", scopes.join(", ")));
        report.line(&format!("sha256 = \"{sha256}\""));
        Ok(())
    }
}
