//! Shared parts of the fake's HTML pages, and the page that shows a callback.

use std::fmt::Display;

use axum::extract::RawQuery;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::response::{Html, IntoResponse};

use crate::query::Query;

pub(crate) const CALLBACK_PATH: &str = "/callback";

/// The headers of every page. Because of these headers, a browser loads no resources, runs no scripts, stores nothing
/// and sends no `Referer`.
pub(crate) const HEADERS: [(HeaderName, &str); 3] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    (REFERRER_POLICY, "no-referrer"),
];

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #ddd}\
td,code{overflow-wrap:anywhere}code{font-size:.9em}\
label{display:block;padding:.2rem 0}button{font:inherit;padding:.4rem 1.4rem;margin:1rem .6rem 0 0}\
.note{color:#555}";

/// Returns a whole document. This function escapes `title`. `content` is HTML.
pub(crate) fn document(title: &str, content: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n{content}</body></html>\n"
    )
}

/// Returns a table. This function escapes `heads`. The cells in `rows` are HTML.
pub(crate) fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{}</th>", escape(head))).collect();
    let rows: String = rows
        .into_iter()
        .map(|row| format!("<tr>{}</tr>\n", row.map(|cell| format!("<td>{cell}</td>")).concat()))
        .collect();
    format!("<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table>\n")
}

pub(crate) fn code(text: impl Display) -> String {
    format!("<code>{}</code>", escape(&text.to_string()))
}

/// Escapes text for HTML content and for attribute values in double quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Shows the parameters that a platform's callback would have received.
pub(crate) async fn callback(RawQuery(query): RawQuery) -> impl IntoResponse {
    let raw = query.unwrap_or_default();
    let parameters = Query::parse(raw.as_bytes());
    let rows = parameters.pairs().iter().map(|(name, value)| [code(name), code(value)]);
    let content = format!(
        "<p>The seller has decided, and TikTok Shop has sent the browser back to the app. This app has no redirect \
         address, so the fake shows the parameters that a platform's callback would receive.</p>\n{}\
         <h2>The raw query</h2><p>{}</p>\n<p><a href=\"/\">Start page</a></p>\n",
        table(["parameter", "value"], rows),
        code(raw),
    );
    (HEADERS, Html(document("Callback", &content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escape(r#"<a href="x" id='y'>&</a>"#), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;&lt;/a&gt;");
    }
}
