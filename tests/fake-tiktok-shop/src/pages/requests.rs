//! The page with the request log. Its filter is part of the page's address.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::form::{Forms, Look, field};
use super::show as show_tab;
use crate::clock::Utc;
use crate::control::Control;
use crate::marketplace::Marketplace;
use crate::page::{Tab, code};
use crate::query::Query;
use crate::request_log::RequestRecord;

/// The highest number of requests on the page.
const SHOWN: usize = 200;

/// Decides which requests the page shows.
struct Filter {
    /// A text that the path, the host, the method or the fault of a request must contain.
    text: String,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Any,
    Accepted,
    Refused,
    Fault,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Any, Self::Accepted, Self::Refused, Self::Fault];

    fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Fault => "fault",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Any => "every request",
            Self::Accepted => "accepted by TikTok Shop",
            Self::Refused => "refused by TikTok Shop",
            Self::Fault => "met a scripted fault",
        }
    }
}

impl Filter {
    fn of(query: &Query) -> Self {
        let named = query.first("outcome").unwrap_or_default();
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.name() == named).unwrap_or(Outcome::Any);
        Self { text: query.first("text").unwrap_or_default().trim().to_owned(), outcome }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.outcome == Outcome::Any
    }

    fn matches(&self, record: &RequestRecord) -> bool {
        let text = self.text.to_lowercase();
        let parts = [Some(&record.path), Some(&record.host), Some(&record.method), record.fault.as_ref()];
        let found = text.is_empty() || parts.into_iter().flatten().any(|part| part.to_lowercase().contains(&text));
        found
            && match self.outcome {
                Outcome::Any => true,
                Outcome::Accepted => is_accepted(record),
                Outcome::Refused => !is_accepted(record) && record.status != 0,
                Outcome::Fault => record.fault.is_some(),
            }
    }
}

fn is_accepted(record: &RequestRecord) -> bool {
    (200..400).contains(&record.status) && record.code.is_none_or(|code| code == 0)
}

pub(super) async fn show(State(control): State<Control>, RawQuery(query): RawQuery) -> Response {
    let filter = Filter::of(&Query::parse(query.unwrap_or_default().as_bytes()));
    show_tab(&control, Tab::Requests, |marketplace| content(marketplace, &filter))
}

/// Returns the latest requests, newest first.
pub(super) fn latest(marketplace: &Marketplace, count: usize) -> Markup {
    let records: Vec<_> = marketplace.log.records().rev().take(count).collect();
    html! {
        @if records.is_empty() { p.note { "No requests so far." } }
        @for record in records { (entry(record)) }
    }
}

fn content(marketplace: &Marketplace, filter: &Filter) -> Markup {
    let forms = Forms::new(marketplace, Tab::Requests);
    let matching: Vec<_> = marketplace.log.records().rev().filter(|record| filter.matches(record)).collect();
    let all = marketplace.log.records().count();
    html! {
        p { "The requests to TikTok Shop's hosts, newest first. Secrets are masked." }
        form.row method="get" action=(Tab::Requests.path()) role="search" {
            (field("Path, host, method or fault contains", "", &html! {
                input type="search" name="text" value=(filter.text);
            }))
            (field("Outcome", "", &html! {
                select name="outcome" {
                    @for outcome in Outcome::ALL {
                        option value=(outcome.name()) selected[outcome == filter.outcome] { (outcome.label()) }
                    }
                }
            }))
            button.primary { "Filter" }
            @if !filter.is_empty() { a.button href=(Tab::Requests.path()) { "Show all" } }
        }
        p role="status" {
            (matching.len()) " of " (all) @if all == 1 { " request" } @else { " requests" }
            @if matching.len() > SHOWN { ". The page shows the newest " (SHOWN) "." }
        }
        @for record in matching.iter().take(SHOWN) { (entry(record)) }
        @if all > 0 { (forms.button("clear-requests", &[], Look::Danger, "Delete all recorded requests")) }
    }
}

fn entry(record: &RequestRecord) -> Markup {
    let masked = record.masked();
    let class = match (masked.fault.is_some(), is_accepted(&masked)) {
        (true, _) => "wait",
        (false, true) => "good",
        (false, false) => "bad",
    };
    html! {
        details {
            summary {
                span.note { (masked.number) ". " (Utc::from_unix_seconds(masked.at).text()) " " }
                span class={ "badge " (class) } {
                    @if masked.status == 0 { "fault" } @else { (masked.status) }
                    @if let Some(code) = masked.code { " · code " (code) }
                }
                " " (code(format!("{} {}", masked.method, masked.path)))
                @if let Some(fault) = &masked.fault { span.note { " Fault: " (fault) } }
            }
            dl {
                dt { "Host" } dd { (code(&masked.host)) }
                dt { "Body" } dd { (masked.body_length) " bytes" }
            }
            @if !masked.query.is_empty() {
                h4 { "Query" }
                dl { @for (name, value) in &masked.query { dt { (code(name)) } dd { (code(value)) } } }
            }
            h4 { "Headers" }
            dl { @for (name, value) in &masked.headers { dt { (code(name)) } dd { (code(value)) } } }
        }
    }
}
