//! The part of a page that shows the fake's clock and moves it.

use maud::{Markup, html};

use super::form::{Forms, Look, field, submit};
use crate::clock::Utc;
use crate::marketplace::Marketplace;

/// The label of each button that moves the clock, and the number of seconds by which the button moves it.
const STEPS: [(&str, &str); 5] =
    [("+1 minute", "60"), ("+1 hour", "3600"), ("+1 day", "86400"), ("+7 days", "604800"), ("+30 days", "2592000")];

pub(super) fn content(marketplace: &Marketplace, forms: &Forms) -> Markup {
    let now = marketplace.clock.now();
    let running = if marketplace.clock.is_ticking() { "The clock runs." } else { "The clock stands still." };
    html! {
        section.card aria-labelledby="clock" {
            h2 id="clock" { "Time here: " time { (Utc::from_unix_seconds(now).text()) } }
            p.note { (running) " Unix seconds: " (now) ". Codes, tokens and webhooks follow this clock." }
            div.row {
                @for (label, seconds) in STEPS {
                    (forms.button("advance-clock", &[("seconds", seconds)], Look::Plain, label))
                }
                (forms.form("set-clock", &[], &html! {
                    div.row {
                        (field("Set to (UTC)", "", &html! {
                            input type="datetime-local" name="time" step="1" required
                                value=(Utc::from_unix_seconds(now).input_value());
                        }))
                        (submit(Look::Plain, "Set the clock"))
                    }
                }))
            }
        }
    }
}
