//! `events`: shows the events of a tenant, or exports them.

use clap::Args;
use tiktok_shop_host::ShopId;
use tiktok_shop_host::events::{Event, EventKind, EventPosition, NewEvent};

use crate::failure::Failure;
use crate::output::{EventLine, Report, count, time};
use crate::settings::{Needs, OpenedStorage, StorageArgs};

/// Show the tenant's events, oldest first: what happened, and who caused it
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Events {
    /// Position after which the list begins
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,

    /// Maximum number of events
    #[arg(long, value_name = "NUMBER", default_value_t = 100, conflicts_with = "all")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Show all events, however many there are
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    settings: StorageArgs,
}

const AFTER_HELP: &str = "\
Each line shows the position, the time, the customer, the account, the event, and who caused it. An
event of the whole tenant has - in place of customer and account. A later event has a greater
position, but some numbers may be missing. Events contain no secret. They are kept after the
connection has ended, until the tenant is erased. To export events, use --all --json, and keep the
last position: the next export continues there with --after.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness events --limit 1
  1  2026-01-01T00:00:00Z  customer-7  …  connected  by …
  note: there may be more events; continue with --after 1

  $ tiktok-shop-harness events --all --json
  {\"position\":1,\"at\":1767225600,\"customer\":\"customer-7\",\"account\":\"…\",\"event\":\"connected\",…}
  {\"position\":2,…}
  …

Exit status: 0, also if there are no events; 16 if the database fails; for others see
tiktok-shop-harness --help.";

/// The maximum number of events that the command reads from the storage in one call.
const PAGE: usize = 500;

impl Events {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let OpenedStorage { storage, tenant, .. } = self.settings.open_for(Needs::NO_KEYS, report).await?;
        let mut after = self.after.map(EventPosition);
        let mut left = if self.all { usize::MAX } else { self.limit as usize };
        while left > 0 {
            let page = storage.events(&tenant, after, left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.position);
            left = left.saturating_sub(page.len());
            page.iter().for_each(|event| print(event, report));
            report.flush();
            if report.stop.is_cancelled() && left > 0 {
                let EventPosition(last) = last.position;
                return Err(Failure::Stopped(format!("continue with --after {last}")));
            }
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
    let Event { position, event: NewEvent { at, key, kind, origin } } = event;
    let (customer, account) = key.as_ref().map_or(("-", "-"), |key| (key.customer.as_str(), key.account.as_str()));
    let actor = origin.actor.as_ref().map(|actor| format!("  by {actor}")).unwrap_or_default();
    let reason = origin.stated_reason.as_ref().map(|reason| format!("  because {reason}")).unwrap_or_default();
    let (word, values) = (kind.as_str(), values(kind));
    let line = format!("{}  {}  {customer}  {account}  {word}{values}{actor}{reason}", position.0, time(*at));
    report.line(&line);
}

/// Returns the text with the values of an event. In a line of the list, this text follows the word for the event.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds have no values, or they are newer")]
fn values(kind: &EventKind) -> String {
    match kind {
        EventKind::AuthorizationEnding { ends } => format!(" at {}", time(*ends)),
        EventKind::ReauthorizationRequired(reason) => format!(": {}", reason.as_str()),
        EventKind::Notice { days, ends } => {
            format!(": ends within {}, at {}", count((*days).into(), "day", "days"), time(*ends))
        }
        EventKind::ShopsLinked { shops }
        | EventKind::ShopsUnlinked { shops }
        | EventKind::ShopsLost { shops }
        | EventKind::ShopsRegained { shops } => {
            format!(": {}", shops.iter().map(ShopId::as_str).collect::<Vec<_>>().join(", "))
        }
        EventKind::KeysRotated { host_key } => format!(" to {host_key}"),
        EventKind::HostKeyAdded { host_key }
        | EventKind::HostKeyPromoted { host_key }
        | EventKind::HostKeyRetired { host_key } => format!(": {host_key}"),
        _ => String::new(),
    }
}
