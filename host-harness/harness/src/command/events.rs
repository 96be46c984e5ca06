//! `events`: shows the events of a tenant's connections.

use clap::Args;
use tiktok_shop_host::events::{Event, EventKind, EventPosition};

use crate::failure::Failure;
use crate::output::{EventLine, Report, count, time};
use crate::settings::{OpenedStorage, StorageArgs};

/// Show the events of the tenant's connections, oldest first
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Events {
    /// Position after which the list begins
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,

    /// Maximum number of events
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,

    #[command(flatten)]
    settings: StorageArgs,
}

const AFTER_HELP: &str = "\
Each line shows the position, the time, the customer, the account and the event. A later event has
a greater position, but some numbers may be missing. Events contain no secret. They are kept after
the connection has ended.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness events --limit 1
  1  2026-01-01T00:00:00Z  customer-7  …  connected
  note: there may be more events; continue with --after 1

  $ tiktok-shop-harness events --after 0 --json
  {\"position\":1,\"at\":1767225600,\"customer\":\"customer-7\",\"account\":\"…\",\"event\":\"connected\"}

Exit status: 0, also if there are no events; 16 if the database fails; for others see
tiktok-shop-harness --help.";

/// The maximum number of events that the command reads from the storage in one call.
const PAGE: usize = 500;

impl Events {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let OpenedStorage { storage, tenant, .. } = self.settings.open(report).await?;
        let mut after = self.after.map(EventPosition);
        let mut left = self.limit as usize;
        while left > 0 {
            let page = storage.events(&tenant, after, left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.position);
            left = left.saturating_sub(page.len());
            page.iter().for_each(|event| print(event, report));
            report.flush();
        }
        if let (0, Some(EventPosition(last)), false) = (left, after, report.is_json()) {
            report.note(&format!("there may be more events; continue with --after {last}"));
        }
        Ok(())
    }
}

fn print(event: &Event, report: &mut Report) {
    if report.is_json() {
        return report.json(&EventLine::from(event));
    }
    let Event { position, event } = event;
    let values = match event.kind {
        EventKind::AuthorizationEnding { ends } => format!(" at {}", time(ends)),
        EventKind::ReauthorizationRequired(reason) => format!(": {}", reason.as_str()),
        EventKind::Notice { days, ends } => {
            format!(": ends within {}, at {}", count(days.into(), "day", "days"), time(ends))
        }
        // These kinds have no values. A kind that is newer than this program may have values, but the program does not
        // know them.
        EventKind::Connected | EventKind::Recovered | EventKind::Disconnected | _ => String::new(),
    };
    let (customer, account, kind) = (&event.key.customer, &event.key.account, event.kind.as_str());
    report.line(&format!("{}  {}  {customer}  {account}  {kind}{values}", position.0, time(event.at)));
}
