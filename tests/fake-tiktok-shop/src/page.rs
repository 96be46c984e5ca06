//! The frame of the fake's HTML pages: their headers, their style, and the navigation between them.

use std::fmt::Display;

use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::clock::Utc;

pub(crate) const CALLBACK_PATH: &str = "/callback";

const STYLE: &str = include_str!("page/style.css");

const DAY: u64 = 86_400;

/// Returns the headers of every page. Because of these headers, a browser loads no resources, runs no scripts, stores
/// nothing, and shows the page inside no other page. The browser sends `Referer` and a readable `Origin` to the fake
/// only.
pub(crate) fn headers() -> [(HeaderName, &'static str); 3] {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    [(CACHE_CONTROL, "no-store"), (CONTENT_SECURITY_POLICY, policy), (REFERRER_POLICY, "same-origin")]
}

/// A page to which the navigation links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Start,
    Sellers,
    Webhooks,
    Requests,
    Switches,
    Control,
}

impl Tab {
    pub(crate) const ALL: [Self; 6] =
        [Self::Start, Self::Sellers, Self::Webhooks, Self::Requests, Self::Switches, Self::Control];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Start => "/",
            Self::Sellers => "/_pages/sellers",
            Self::Webhooks => "/_pages/webhooks",
            Self::Requests => "/_pages/requests",
            Self::Switches => "/_pages/switches",
            Self::Control => "/_pages/control",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Start => "Grants",
            Self::Sellers => "Sellers",
            Self::Webhooks => "Webhooks",
            Self::Requests => "Requests",
            Self::Switches => "Switches",
            Self::Control => "Control interface",
        }
    }

    /// Returns the heading at the top of the page.
    fn heading(self) -> &'static str {
        match self {
            Self::Start => "Fake TikTok Shop",
            Self::Sellers | Self::Webhooks | Self::Requests | Self::Switches | Self::Control => self.title(),
        }
    }
}

/// Returns a page with the navigation. `tab` says which page it is.
pub(crate) fn tool(tab: Tab, content: &Markup) -> String {
    let navigation = html! {
        a.skip href="#content" { "Skip the navigation" }
        nav aria-label="Pages" {
            ul {
                @for other in Tab::ALL {
                    li { a href=(other.path()) aria-current=[(other == tab).then_some("page")] { (other.title()) } }
                }
            }
        }
    };
    document(
        &format!("{} · Fake TikTok Shop", tab.title()),
        "",
        &html! {
            (navigation)
            main id="content" { h1 { (tab.heading()) } (content) }
        },
    )
}

/// Returns a page without navigation.
pub(crate) fn single(title: &str, content: &Markup) -> String {
    document(title, "narrow", &html! { main { h1 { (title) } (content) } })
}

fn document(title: &str, class: &str, body: &Markup) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // The icon is empty. Without this element, the browser asks the fake for an icon, and the request log
                // shows this request.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body class=(class) { (body) }
        }
    };
    document.into_string()
}

/// Returns text without automatic line breaks. If the text is too long for the line, the user can scroll it.
pub(crate) fn code(text: impl Display) -> Markup {
    html! { code { (text) } }
}

/// Returns a moment with its distance from now: `2026-01-08 00:00:00 UTC (in 7 days)`. A line may end only between the
/// two, so no line ends within a date.
pub(crate) fn moment(at: u64, now: u64) -> Markup {
    html! { span.keep { (Utc::from_unix_seconds(at).text()) } " " span.keep { "(" (distance(at, now)) ")" } }
}

fn distance(at: u64, now: u64) -> String {
    match (at.checked_sub(now), now.checked_sub(at)) {
        (Some(0), _) => "now".to_owned(),
        (Some(ahead), _) => format!("in {}", duration(ahead)),
        (None, Some(ago)) => format!("{} ago", duration(ago)),
        (None, None) => String::new(),
    }
}

/// Returns a duration as a text in one unit, rounded to the nearest whole number.
fn duration(seconds: u64) -> String {
    let (unit, length) = match seconds {
        0..90 => ("second", 1),
        90..5_400 => ("minute", 60),
        5_400..172_800 => ("hour", 3_600),
        172_800..63_072_000 => ("day", DAY),
        _ => ("year", 365 * DAY),
    };
    let count = (seconds + length / 2) / length;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(code(r#"<a href="x">&"#).into_string(), "<code>&lt;a href=&quot;x&quot;&gt;&amp;</code>");
    }

    #[test]
    fn a_moment_is_shown_with_its_distance_from_now() {
        for (at, now, time, distance) in [
            (100, 100, "1970-01-01 00:01:40 UTC", "now"),
            (101, 100, "1970-01-01 00:01:41 UTC", "in 1 second"),
            (7 * DAY, 10, "1970-01-08 00:00:00 UTC", "in 7 days"),
            (0, 7_200, "1970-01-01 00:00:00 UTC", "2 hours ago"),
            (0, 99 * 365 * DAY, "1970-01-01 00:00:00 UTC", "99 years ago"),
        ] {
            let expected = format!("<span class=\"keep\">{time}</span> <span class=\"keep\">({distance})</span>");
            assert_eq!(moment(at, now).into_string(), expected);
        }
    }
}
