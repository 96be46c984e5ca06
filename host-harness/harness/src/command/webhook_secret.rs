//! `webhook-secret`: draws a secret with which the service signs webhooks.

use std::io::{self, IsTerminal as _};

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_server::delivery::{EndpointAddress, EndpointName, SigningSecret};

use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{one_line, visible_ascii};

/// Draw a secret that signs webhooks, and print its lines for the configuration
#[derive(Args)]
#[command(name = "webhook-secret", after_help = AFTER_HELP)]
pub(crate) struct WebhookSecret {
    /// Name of the endpoint, unique in its tenant
    #[arg(long, value_name = "NAME", value_parser = visible_ascii::<EndpointName>)]
    name: EndpointName,

    /// Tenant whose events the endpoint gets
    #[arg(long, value_name = "ID", default_value = "default", value_parser = one_line::<TenantId>)]
    tenant: TenantId,

    /// Address of the endpoint: https, or http on loopback
    #[arg(long, value_name = "URL", value_parser = visible_ascii::<EndpointAddress>)]
    address: EndpointAddress,
}

const AFTER_HELP: &str = "\
The first line is the secret. Give it to the program that receives the webhooks. Put the other
lines, which contain the secret, too, into the configuration file of the service.

To replace a secret, put the new one into secret and the old one into previous-secret. The service
then signs with both. Give the new secret to the receiver, and then remove previous-secret.

Example:

  $ tiktok-shop-harness webhook-secret --name main --address https://app.example/webhooks
  whsec_…
  …

Exit status: 0 if the secret was printed; 3 if the system has no randomness; for others see
tiktok-shop-harness --help.";

#[derive(Serialize)]
struct Line<'a> {
    secret: &'a str,
    name: &'a str,
    tenant: &'a str,
    address: String,
}

impl WebhookSecret {
    pub(crate) fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { name, tenant, address } = self;
        let secret = SigningSecret::draw(&SystemRandomness)
            .map_err(|error| Failure::Unavailable(format!("no randomness: {error}")))?
            .to_text();
        let (secret, address) = (secret.expose(), address.to_text());
        if report.is_json() {
            report.json(&Line { secret, name: name.as_str(), tenant: tenant.as_str(), address });
            return Ok(());
        }
        if io::stdout().is_terminal() {
            report.note("the secret is shown only once: give it to the program that receives the webhooks");
        }
        report.line(secret);
        report.line("");
        report.line("[[serve.webhooks]]");
        // For printable characters, a text in TOML has the same form as in JSON.
        report.line(&format!("tenant = {}", serde_json::Value::from(tenant.as_str())));
        report.line(&format!("name = \"{name}\""));
        report.line(&format!("address = {}", serde_json::Value::from(address)));
        report.line(&format!("secret = \"{secret}\""));
        Ok(())
    }
}
