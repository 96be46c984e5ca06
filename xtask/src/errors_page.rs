//! Writes `docs/errors.md` from four sources: the WIT package documents the cases, the core the codes, the host library the
//! other ends of a call, and the fault matrix lists which fault leads to which code. Only the introductions are written
//! here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};
use tiktok_shop_connector_core::error::{Action, Cause};
use tiktok_shop_fault_matrix::{Row, fault_matrix};

/// The path of the page in the workspace.
pub(crate) const PATH: &str = "docs/errors.md";

const HOST_ERRORS: &str = "host-harness/src/error.rs";

const INTRODUCTION: &str = "\
# Errors

<!-- Written by `cargo xtask docs`; a test fails while it is out of date. -->

After reading this page you can handle every error of the connector in code, and look up the cause of a single one.

An error has four parts:

- the **case** says what the host does next. Your code branches on the case;
- the **code** names the cause, for statistics and for this page. Do not branch on it;
- the `detail` is text for the log. Do not branch on it;
- the HTTP status and the request id of TikTok's answer, if TikTok answered.

A connection keeps its latest failure as `last-failure`, with the same code.

To handle a single error, find its code below. **Do** says what to do. **Afterwards** says what was sent to TikTok and what
is stored.

- [The eight cases](#the-eight-cases), with all codes
- [The codes](#the-codes)
- [When the host ends the call](#when-the-host-ends-the-call)
- [What leads to what](#what-leads-to-what): every tested fault in every operation
";

const HOST_INTRODUCTION: &str = "
## When the host ends the call

The host library can end a call before the connector answers. Its error is then one of these cases of `CallError`. The next
call runs in a fresh instance. Stored tokens are safe even if it is unknown whether the call took effect: a refresh token is
sent only under a stored claim, which lapses after 120 s. Only an authorization code that `connect` has sent may be spent.

- **Do:** Call again after some seconds. If a late or busy error lasts, check the load and the storage of the host. Report a
  trap, a broken contract or an exhausted limit, with the name and version in the error.

| `CallError` | meaning |
| --- | --- |
";

const MATRIX_INTRODUCTION: &str = "\
A test measures each row with the shipped component in the real host, over HTTP, against the fake TikTok Shop. The fault
lasts for the whole call. *Sent* lists the requests that TikTok's hosts received during the call. *Afterwards* is the state
of the connection after the call, once TikTok's hosts work again.

Words in the names of faults: \"the answer\" is the answer that TikTok would really give. A *refusal* is an answer with code
36004005. \"Reply lost\" means that TikTok acted and its answer did not arrive, so nobody knows the tokens that it issued. The
fake then refuses the old refresh token, which is the strictest thing that TikTok may do. The case `answer` means that `call`
returned TikTok's own answer, with TikTok's code.
";

/// Returns the page that the sources give.
pub(crate) fn page() -> Result<String> {
    let rows = fault_matrix()?;
    let mut page = INTRODUCTION.to_owned();
    page.push_str(&cases()?);
    page.push_str("\n## The codes\n");
    for cause in Cause::ALL {
        page.push_str(&code(*cause, &rows));
    }
    page.push_str(HOST_INTRODUCTION);
    page.push_str(&host_errors()?);
    page.push_str(&matrix(&rows));
    Ok(page)
}

fn cases() -> Result<String> {
    let mut text = String::from("\n## The eight cases\n\n| case | meaning | codes |\n| --- | --- | --- |\n");
    for (name, meaning) in xtask::error_cases()? {
        let codes = Cause::ALL.iter().filter(|cause| case(**cause) == name).map(|cause| link(cause.code()));
        writeln!(text, "| `{name}` | {meaning} | {} |", codes.collect::<Vec<_>>().join(" · "))?;
    }
    Ok(text)
}

fn case(cause: Cause) -> &'static str {
    match cause.action() {
        Action::Internal => "internal",
        Action::InvalidRequest => "invalid-request",
        Action::Misconfigured => "misconfigured",
        Action::Reauthorize => "reauthorize",
        Action::RetryAfter => "retry-after",
        Action::StorageConflict => "storage-conflict",
        Action::StorageFailed => "storage-failed",
        Action::Upstream => "upstream",
    }
}

/// Formats the section of a code: its meaning, what to do, and the faults of the matrix that lead to it.
fn code(cause: Cause, rows: &[Row]) -> String {
    let code = cause.code();
    let advice = cause.advice();
    let mut text = format!(
        "\n### {code}\n\n`{}` · {}\n\n- **Do:** {}\n- **Afterwards:** {}\n",
        case(cause),
        cause.sentence(),
        advice.remedy,
        advice.aftermath
    );
    let leading: Vec<_> = rows.iter().filter(|row| row.code.as_deref() == Some(code)).collect();
    if !leading.is_empty() {
        let operations: Vec<_> = distinct(leading.iter().map(|row| row.operation.as_str()));
        let operations = operations.into_iter().map(|name| format!("[{name}](#{})", anchor(name))).collect::<Vec<_>>();
        let faults = distinct(leading.iter().map(|row| row.fault.as_str()));
        text.push_str(&format!(
            "\n<details><summary>{}</summary>\n\n{}. In {}.\n\n</details>\n",
            match faults.len() {
                1 => "One fault leads here".to_owned(),
                number => format!("{number} faults lead here"),
            },
            faults.join("; "),
            operations.join(", ")
        ));
    }
    text
}

/// Removes repeated items. Keeps the order of first appearance.
fn distinct<'a>(items: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(*item)).collect()
}

/// Formats the cases of `CallError`, with their documentation in the host library's source.
fn host_errors() -> Result<String> {
    let source = fs::read_to_string(xtask::workspace_root().join(HOST_ERRORS)).context(HOST_ERRORS)?;
    let (_, rest) = source.split_once("pub enum CallError {\n").context("no CallError")?;
    let (body, _) = rest.split_once("\n}\n").context("CallError has no end")?;
    let mut text = String::new();
    let mut meaning = Vec::new();
    // Lines that are indented further belong to the fields of a case.
    for line in body.lines().filter_map(|line| line.strip_prefix("    ").filter(|line| !line.starts_with(' '))) {
        if let Some(sentence) = line.strip_prefix("/// ") {
            meaning.push(sentence);
        } else if line.starts_with(|first: char| first.is_ascii_uppercase()) {
            let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
            writeln!(text, "| `{name}` | {} |", meaning.join(" "))?;
            meaning.clear();
        }
    }
    Ok(text)
}

fn matrix(rows: &[Row]) -> String {
    let operations = distinct(rows.iter().map(|row| row.operation.as_str()));
    let faults = distinct(rows.iter().map(|row| row.fault.as_str())).len();
    let mut text =
        format!("\n## What leads to what\n\n{faults} faults in {} requests. {MATRIX_INTRODUCTION}", operations.len());
    for operation in operations {
        text.push_str(&format!(
            "\n### {operation}\n\n| fault | case | code | HTTP | sent | afterwards |\n| --- | --- | --- | --- | --- | --- |\n"
        ));
        for row in rows.iter().filter(|row| row.operation == operation) {
            let seconds = row.seconds.map(|seconds| format!(" {seconds} s")).unwrap_or_default();
            let sent = if row.requests.is_empty() { "nothing" } else { &row.requests };
            text.push_str(&format!(
                "| {} | `{}`{seconds} | {} | {} | {sent} | {} |\n",
                row.fault,
                row.case,
                row.code.as_deref().map(|code| code_cell(row, code)).unwrap_or_default(),
                row.status.map(|status| status.to_string()).unwrap_or_default(),
                row.then
            ));
        }
    }
    text
}

/// Formats a code: as a link to its section, or as plain text if it is TikTok's own code.
fn code_cell(row: &Row, code: &str) -> String {
    if row.case == "answer" { format!("TikTok's {code}") } else { link(code) }
}

fn link(code: &str) -> String {
    format!("[{code}](#{code})")
}

/// Returns the anchor of a heading, as code hosts such as GitHub form it.
fn anchor(heading: &str) -> String {
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_the_page_leads_to_a_heading() {
        let page = page().unwrap();
        let headings: BTreeSet<_> = page
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| anchor(line.trim_start_matches(['#', ' '])))
            .collect();
        let links: BTreeSet<_> = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert!(links.len() > Cause::ALL.len());
        for link in links {
            assert!(headings.contains(link), "{link}");
        }
    }

    #[test]
    fn every_code_in_the_matrix_is_a_code_of_the_connector_and_has_the_right_case() {
        for row in fault_matrix().unwrap() {
            // The rows of case `answer` have TikTok's own code.
            let Some(code) = row.code.as_ref().filter(|_| row.case != "answer") else { continue };
            let cause = Cause::ALL.iter().find(|cause| cause.code() == code).unwrap_or_else(|| panic!("{code}"));
            assert!(row.case == "ok" || row.case == case(*cause), "{row:?}");
        }
    }

    #[test]
    fn every_case_of_call_error_is_listed_with_a_sentence() {
        let text = host_errors().unwrap();
        for line in text.lines() {
            assert!(line.ends_with(". |"), "{line}");
        }
        assert!(text.contains("| `Trapped` | The guest trapped: a bug in it."), "{text}");
        assert_eq!(text.lines().count(), 8, "{text}");
    }
}
