//! `fake`: runs a fake TikTok Shop on this machine.

use clap::Args;
use fake_tiktok_shop::Launch;

use crate::failure::Failure;
use crate::output::Report;

/// Run a fake TikTok Shop on this machine until Ctrl-C
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Fake {
    #[command(flatten)]
    launch: Launch,
}

const AFTER_HELP: &str = "\
The fake listens on 127.0.0.1. It has a consent page, tokens, shops, a signed API and webhooks. Its
pages show the grants, the webhooks and the requests, and have buttons for everything that a seller
and TikTok Shop can do. All data is invented, and nothing is kept when the fake ends. Read more in
docs/fake-tiktok-shop.md.

With --listen, clients in other containers reach the fake. Everybody who reaches the address can
read all secrets of the fake and change its state. --host-name adds a name by which they may reach
it; links contain the first of these names. The other commands accept only a fake on loopback.

With --as, the fake behaves as the report of the command probe says. A switch that the report does
not name keeps its default. At its start, the fake prints the switches that the report has changed.

Example:

  $ tiktok-shop-harness fake --port 4010 &
  Fake TikTok Shop is listening on 127.0.0.1:4010. All keys and secrets are invented.
  …

Exit status: 0 if Ctrl-C or SIGTERM ended the fake, or its terminal was closed; 2 if the fake can't
listen there, a file can't be used, or the redirect is not an address.";

impl Fake {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let fake = self.launch.start().map_err(Failure::Malformed)?;
        if let Some(warning) = fake.warning() {
            report.note(&warning);
        }
        if report.is_json() {
            report.json(&fake.announcement_json());
        } else {
            fake.announcement().lines().for_each(|line| report.line(line));
            report.line("");
            // The other commands accept only a fake on loopback.
            let address = fake.address_on_this_machine();
            if address.ip().is_loopback() {
                report.line(&format!("To use it with other commands:  export TIKTOK_SHOP_FAKE=http://{address}"));
            }
            report.line("Stop it with Ctrl-C.");
        }
        report.flush();
        report.stop.cancelled().await;
        Ok(())
    }
}
