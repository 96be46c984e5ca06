//! The page with the switches and the scripted faults.

use maud::{Markup, html};
use serde_json::Value;

use super::form::{Forms, Look, field, submit};
use crate::fault::catalogue;
use crate::marketplace::Marketplace;
use crate::page::{Tab, code};
use crate::switches::{EXPLANATIONS, Explanation, Switches, Topic};

/// The paths that the form for faults offers.
const PATHS: [&str; 4] =
    ["/api/v2/token/get", "/api/v2/token/refresh", "/authorization/202309/shops", "/order/202309/orders/search"];

pub(super) fn content(marketplace: &mut Marketplace) -> Markup {
    let forms = Forms::new(marketplace, Tab::Switches);
    let (present, initial) = (marketplace.switches.to_json(), Switches::default().to_json());
    let value = |values: &Value, switch: &Explanation| values.get(switch.name).cloned().unwrap_or_default();
    let changed = |switch: &Explanation| value(&present, switch) != value(&initial, switch);
    html! {
        p {
            "A switch chooses what the fake does where TikTok Shop's documentation does not say what TikTok Shop does. \
             A change applies at once, also to tokens that were issued before."
        }
        @for topic in Topic::ALL {
            @let switches = EXPLANATIONS.iter().filter(|switch| switch.topic == topic).collect::<Vec<_>>();
            @let changes = switches.iter().filter(|switch| changed(switch)).count();
            details open[changes > 0] {
                summary {
                    (topic.title()) " " span.note { (switches.len()) " switches" }
                    @if changes > 0 { " " span.badge.wait { (changes) " changed" } }
                }
                @for switch in switches {
                    (choice(&forms, switch, &value(&present, switch), &value(&initial, switch)))
                }
            }
        }
        (forms.button("reset-switches", &[], Look::Plain, "Reset all switches"))
        h2 id="faults" { "Faults" }
        p { "A fault replaces the answers to the next requests to a path. Without a number of times, it replaces all of them." }
        (forms.form("script-fault", &[], &html! {
            div.row {
                (field("Path", "", &html! {
                    input name="path" required list="paths" value=(PATHS[1]);
                    datalist id="paths" { @for path in PATHS { option value=(path) {} } }
                }))
                (field("Fault", "wide", &html! {
                    select name="name" { @for (name, _) in catalogue() { option value=(name) { (name) } } }
                }))
                (field("Times", "small", &html! {
                    input name="times" type="number" min="1" value="1" placeholder="always";
                }))
                (submit(Look::Primary, "Script the fault"))
            }
        }))
        @if marketplace.faults.all().is_empty() {
            p.note { "No fault is scripted." }
        } @else {
            ul.lines {
                @for script in marketplace.faults.all() {
                    li {
                        span { (code(&script.path)) " " (script.name) }
                        span.note {
                            @match script.left { Some(left) => { "for " (left) " more" }, None => { "always" } }
                            ", played: " (script.met)
                        }
                    }
                }
            }
            (forms.button("clear-faults", &[], Look::Danger, "Remove all faults"))
        }
    }
}

fn choice(forms: &Forms, switch: &Explanation, present: &Value, initial: &Value) -> Markup {
    let changed = present != initial;
    let mut values: Vec<Value> = serde_json::from_str(&format!("[{}]", switch.values)).unwrap_or_default();
    if !values.contains(present) {
        // The present value has another number of seconds than the values in the list.
        values.push(present.clone());
    }
    html! {
        div.switch.changed[changed] {
            div {
                (code(switch.name))
                @if changed { " " span.badge.wait { "changed" } " " span.note { "initially " (label(initial)) } }
            }
            p { (switch.question) }
            (forms.form("set-switch", &[("name", switch.name)], &html! {
                div.row {
                    div.field {
                        select name="value" aria-label=(switch.name) {
                            @for value in &values {
                                option value=(value) selected[value == present] { (label(value)) }
                            }
                        }
                    }
                    (submit(Look::Plain, "Set"))
                }
            }))
        }
    }
}

/// Returns a value as text, for example `honoured-for-seconds: 60`.
fn label(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}
