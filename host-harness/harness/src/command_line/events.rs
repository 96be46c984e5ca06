//! `events`: what happened to a tenant's connections.

use clap::Args;
use tiktok_shop_host::events::{Event, EventKind, EventPosition};

use super::failure::Failure;
use super::output::Report;
use super::settings::{Place, Stored};
use super::shapes::EventLine;
use super::words;

/// Show what happened to the tenant's connections, oldest first
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Events {
    /// Only what stands behind this position
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,

    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u32,

    #[command(flatten)]
    place: Place,
}

const AFTER_HELP: &str = "\
A line has the event's position, time, customer and account. Positions grow, with gaps. Events
hold no secret, and stay when their connection ends.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness events --limit 1
  1  2026-01-01T00:00:00Z  customer-7  …  connected
  note: there may be more: --after 1

  $ tiktok-shop-harness events --after 0 --json
  {\"position\":1,\"at\":1767225600,\"customer\":\"customer-7\",\"account\":\"…\",\"event\":\"connected\"}

Exit status: 0, also if there is none; 16 if the database fails; others: tiktok-shop-harness
--help.";

/// Read at a time.
const PAGE: usize = 500;

impl Events {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Stored { storage, tenant, .. } = self.place.open(report).await?;
        let mut after = self.after.map(EventPosition);
        let mut left = self.limit as usize;
        while left > 0 {
            let page = storage.events(&tenant, after, left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.position);
            left = left.saturating_sub(page.len());
            page.iter().for_each(|event| tell(event, report));
            report.tell();
        }
        if let (0, Some(EventPosition(last)), false) = (left, after, report.is_json()) {
            report.note(&format!("there may be more: --after {last}"));
        }
        Ok(())
    }
}

fn tell(event: &Event, report: &mut Report) {
    if report.is_json() {
        return report.json(&EventLine::from(event));
    }
    let Event { position, event } = event;
    let besides = match event.kind {
        EventKind::AuthorizationEnding { ends } => format!(" at {}", words::time(ends)),
        EventKind::ReauthorizationRequired(why) => format!(": {}", words::reason(why)),
        EventKind::Notice { days, ends } => {
            format!(": ends within {}, at {}", words::count(days.into(), "day", "days"), words::time(ends))
        }
        EventKind::Connected | EventKind::Recovered | EventKind::Disconnected | _ => String::new(),
    };
    let (customer, account) = (&event.key.customer, &event.key.account);
    let kind = words::event(event.kind);
    report.line(&format!("{}  {}  {customer}  {account}  {kind}{besides}", position.0, words::time(event.at)));
}
