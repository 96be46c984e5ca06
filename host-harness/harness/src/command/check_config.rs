//! `check-config`: checks the settings of the service without starting it.

use std::str::FromStr;

use clap::Args;
use serde::Serialize;
use tiktok_shop_server::delivery::Endpoints;
use tiktok_shop_server::{ApiKeys, DuplicateApiKey, Metrics, PublicAddress};
use tokio::task::block_in_place;

use super::serve::checked_listen;
use crate::failure::Failure;
use crate::output::{GOOD, Report};
use crate::settings::{AllTenants, HostArgs, LISTEN, ListenAddress, PUBLIC_ADDRESS, ServiceSettings, variable};
use crate::telemetry;

/// Check the settings of the service without starting it
#[derive(Args)]
#[command(name = "check-config", after_help = AFTER_HELP)]
pub(crate) struct CheckConfig {
    #[command(flatten)]
    settings: HostArgs<AllTenants>,
}

const AFTER_HELP: &str = "\
The command reads the settings as serve does, opens the database and the host keys, and loads the
component. It does not know the options --listen and --public-address of serve, so put these
addresses into the configuration file or into their variables. It listens nowhere, sends nothing to
TikTok Shop and changes nothing. The error names the first setting that is wrong, and says what to
do. A note names each app whose authorization link is not valid. serve starts nevertheless, because
only new consents need the link.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE, after migrate and keys init:

  $ tiktok-shop-harness check-config
  …the settings can be used…

Exit status: 0 if serve can start with these settings; 2 if a setting is malformed; 3 if the
database, the host keys or the component can't be used; for others see tiktok-shop-harness --help.";

#[derive(Serialize)]
struct Line {
    tenants: usize,
    api_keys: usize,
    webhook_endpoints: usize,
}

impl CheckConfig {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        // The client of the collector has a runtime of its own. An asynchronous task must not drop a runtime.
        block_in_place(telemetry::check)?;
        let mut opened = self.settings.open_for_service(&Metrics::new(), report).await?.opened;
        let service = opened.take_service();
        note_wrong_apps(&service, report);
        check_addresses(&service)?;
        let keys = api_keys(&service, report)?;
        let webhook_endpoints = endpoints(&service, report)?.iter().count();
        service.table.webhook_authorities().map_err(|what| malformed(&service, &what))?;
        let line = Line { tenants: service.tenants.len(), api_keys: keys.entries().count(), webhook_endpoints };
        if report.is_json() {
            report.json(&line);
            return Ok(());
        }
        report.styled(GOOD, "the settings can be used");
        report.line(&format!(
            "tenants with an app: {}; API keys: {}; webhook endpoints: {}",
            line.tenants, line.api_keys, line.webhook_endpoints
        ));
        Ok(())
    }
}

/// Checks the addresses of the variables and of the configuration file as `serve` does.
fn check_addresses(service: &ServiceSettings) -> Result<(), Failure> {
    let listen = from_variable::<ListenAddress>(LISTEN)?.map(|ListenAddress(address)| address);
    let public = from_variable::<PublicAddress>(PUBLIC_ADDRESS)?.or_else(|| service.table.public_address.clone());
    checked_listen(listen.or(service.table.listen), public.as_ref())?;
    Ok(())
}

fn from_variable<T: FromStr<Err: ToString>>(name: &'static str) -> Result<Option<T>, Failure> {
    let value = variable(name)?;
    let parsed = value.map(|value| value.parse::<T>()).transpose();
    parsed.map_err(|error| Failure::Malformed(format!("{name}: {}", error.to_string())))
}

/// Reads the endpoints of the configuration file, with their secrets. A note says if no endpoint needs the certificate
/// authorities that are configured. Another note names each endpoint whose tenant has no app.
pub(super) fn endpoints(service: &ServiceSettings, report: &Report) -> Result<Endpoints, Failure> {
    if service.table.has_unused_authorities() {
        report.note("serve.webhook-ca-file has no effect: no endpoint in serve.webhooks has an https address");
    }
    let endpoints = service.table.endpoints(service.file_access).map_err(|what| malformed(service, &what))?;
    let endpoints = Endpoints::new(endpoints);
    let endpoints = endpoints.map_err(|error| malformed(service, &format!("serve.webhooks: {error}")))?;
    for endpoint in endpoints.iter().filter(|endpoint| !service.tenants.contains(&endpoint.tenant)) {
        report.note(&format!(
            "webhook endpoint {}: the tenant {} has no app, so its customers cause no events; correct the tenant of \
             the endpoint, or put the app into tenants.{} of the configuration file",
            endpoint.name, endpoint.tenant, endpoint.tenant
        ));
    }
    Ok(endpoints)
}

pub(super) fn malformed(service: &ServiceSettings, what: &str) -> Failure {
    Failure::Malformed(format!("configuration {}: {what}", service.file.display()))
}

/// Names each app whose authorization link is wrong, and each install address of an app that no tenant has. Only new
/// consents and installs need them, so the service can start.
pub(super) fn note_wrong_apps(service: &ServiceSettings, report: &Report) {
    service.app_notes.iter().for_each(|note| report.note(note));
}

/// Checks the API keys of the configuration file. A note names each key that can do little.
pub(super) fn api_keys(service: &ServiceSettings, report: &Report) -> Result<ApiKeys, Failure> {
    let keys = ApiKeys::new(service.api_keys.clone());
    let keys = keys.map_err(|error| {
        let place = match error {
            DuplicateApiKey::Digest(..) => "api-keys".to_owned(),
            DuplicateApiKey::Name { place, .. } => format!("api-keys[{place}].name"),
        };
        malformed(service, &format!("{place}: {error}"))
    })?;
    if keys.entries().next().is_none() {
        report.note("no API key is configured, so every request to /v1 is refused; api-keys create makes one");
    }
    for key in keys.entries().filter(|key| !service.tenants.contains(&key.tenant)) {
        report.note(&format!(
            "API key {}: the tenant {} has no app, so its customers can't connect; put the app into tenants.{} of the \
             configuration file",
            key.name, key.tenant, key.tenant
        ));
    }
    Ok(keys)
}
