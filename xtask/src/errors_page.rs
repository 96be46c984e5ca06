//! Writes `docs/errors.md` from four sources. The WIT package documents the cases, the core documents the codes, and
//! the host library documents the other ways in which a call can end. The fault matrix lists which fault leads to which
//! code. Only the introductions are written in this file.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use tiktok_shop_connector_core::error::{Action, Cause};
use tiktok_shop_fault_matrix::{Row, fault_matrix};

/// The path of the page in the workspace.
pub(crate) const PATH: &str = "docs/errors.md";

const HOST_ERRORS: &str = "host-harness/host/src/error.rs";

const INTRODUCTION: &str = "\
# Errors

<!-- Written by `cargo xtask docs`; a test fails while it is out of date. -->

After reading this page you can tell what an error means, what to do about it, and what is stored afterwards. The page is for
engineers of a platform and for support.

Each error has a **case**, which says what the host does next, and a **code**, which names the cause. It also has a `detail` for
the log and, if TikTok answered, the HTTP status and TikTok's request id. A connection keeps the failure of its latest refresh as
`last-failure`, with the same code.

Branch on the case. You may also branch on these codes, because they keep their meaning:
[already-connected](#already-connected), [backing-off](#backing-off), [consent-refused](#consent-refused),
[credentials-refused](#credentials-refused), [credentials-unavailable](#credentials-unavailable),
[not-a-seller](#not-a-seller), [not-connected](#not-connected), [refresh-in-progress](#refresh-in-progress),
[token-record-unreadable](#token-record-unreadable), [webhook-malformed](#webhook-malformed) and
[webhook-signature-invalid](#webhook-signature-invalid). All other codes are only for counting and for finding the error on this
page. Never branch on the detail.

For example, `call` returns the case `retry-after` with the code `rate-limited`. Find [rate-limited](#rate-limited) below and
do what **Do** says. **Afterwards** says what was sent to TikTok and what is stored.

- [The eight cases](#the-eight-cases), with all codes
- [The codes](#the-codes)
- [When the host ends the call](#when-the-host-ends-the-call)
- [What leads to what](#what-leads-to-what): every fault that is tested, in every operation

The next page to read is [storage.md](storage.md).
";

const CASES_END: &str = "
Before you call again after [row-changed](#row-changed), [row-unreadable](#row-unreadable) or
[token-record-unreadable](#token-record-unreadable), repair what is stored, as their sections say.
";

const HOST_INTRODUCTION: &str = "
## When the host ends the call

Sometimes the host library ends a call before the connector answers. The call then returns one of the cases of `CallError` in
the table below. The column *code* has the name that the service and the metrics use. The next call runs in a fresh instance.
After `Busy` and `NoRandomness`, the call did not start. After every other case, it may be unknown whether the call took effect.
These may be used up:

- the code that `connect` or `exchange-install` has sent
- the refresh token of an import that named no account
- the stored refresh token, if a trap, a limit or an abort ended the call between TikTok's answer and the save. When its claim
  has lapsed, after 120 s, the next call sends it once more. If TikTok refuses it, the seller must consent again
  ([refresh-outcome-unknown](#refresh-outcome-unknown))

All other stored tokens are safe.

- **Do:** After `Busy` and `NoRandomness`, call again after some seconds. After every other case, a `call` with POST, PUT or
  DELETE may have taken effect at TikTok: find out before you repeat it. Before you repeat an import that named no account, look
  whether `list-connections` shows the account. You may repeat all other operations after some seconds. If the error stays and
  something was late or busy, look at the load and at the storage of the host. Report a trap, a broken contract or a limit that
  was used up, with the name and version in the error.

| `CallError` | code | meaning |
| --- | --- | --- |
";

const MATRIX_INTRODUCTION: &str = "\
Each row was measured on the shipped component, in the host, over HTTP, against the fake TikTok Shop. The fault lasts for the
whole call. *sent* says what TikTok's hosts received during the call. *afterwards* says what was found once TikTok worked
again. \"The answer\" is TikTok's real answer; the fault puts a *refusal* (36004005) or other bytes in its place. \"Reply lost\"
means that TikTok acted but its answer did not arrive. The fake then refuses the old refresh token, because TikTok may be as
strict. If a fault invents the answer, TikTok does not act on the request. So the code or token of the request is not used up,
and the same call can work afterwards, even after `authorization-code-spent`. In the column *case*, `answer` means that `call`
returned TikTok's own answer with its code.
";

/// Returns the text of the page.
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
    text.push_str(CASES_END);
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

/// Formats the cases of `CallError`, with their codes and their documentation in the host library's source.
fn host_errors() -> Result<String> {
    let source = fs::read_to_string(xtask::workspace_root().join(HOST_ERRORS)).context(HOST_ERRORS)?;
    let (_, rest) = source.split_once("pub enum CallError {\n").context("no CallError")?;
    let (body, rest) = rest.split_once("\n}\n").context("CallError has no end")?;
    let (_, codes) = rest.split_once("pub fn code(&self)").context("CallError has no codes")?;
    let mut text = String::new();
    let mut meaning = Vec::new();
    // Lines that are indented further belong to the fields of a case.
    for line in body.lines().filter_map(|line| line.strip_prefix("    ").filter(|line| !line.starts_with(' '))) {
        if let Some(sentence) = line.strip_prefix("/// ") {
            meaning.push(sentence);
        } else if line.starts_with(|first: char| first.is_ascii_uppercase()) {
            let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
            let named =
                codes.split_once(&format!("Self::{name} {{ .. }} => \"")).and_then(|(_, code)| code.split_once('"'));
            ensure!(named.is_some() || name == "Connector", "{name} has no code");
            let code = named.map_or_else(|| "that of the connector".to_owned(), |(code, _)| format!("`{code}`"));
            writeln!(text, "| `{name}` | {code} | {} |", meaning.join(" "))?;
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

/// Returns the anchor of a heading, as GitHub forms it.
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
            // Rows whose case is `answer` contain TikTok's own code.
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
        assert!(text.contains("| `Trapped` | `trapped` | The guest trapped, which is a bug in the guest."), "{text}");
        assert_eq!(text.lines().count(), 9, "{text}");
    }
}
