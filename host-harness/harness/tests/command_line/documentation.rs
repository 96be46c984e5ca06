//! Checks that `docs/command-line.md` is the page that the hidden command `documentation` prints.

use std::fs;

use crate::{Run, harness, help, run};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command-line.md");

#[test]
fn the_page_of_the_command_line_is_up_to_date() {
    let Run { status, stdout, stderr } = run(harness("documentation"), "");
    assert_eq!((status, &*stderr), (Some(0), ""));
    let written = fs::read_to_string(PATH).unwrap_or_default();
    assert!(written == stdout, "docs/command-line.md is not up to date: cargo xtask docs");
}

#[test]
fn the_page_contains_the_commands_exit_statuses_variables_and_options() {
    let page = run(harness("documentation"), "").stdout;
    for command in help::COMMANDS {
        assert!(page.contains(&format!("\n## `tiktok-shop-harness {command}`\n")), "{command}");
    }
    for text in ["| 130 | ", "`TIKTOK_SHOP_PREVIOUS_APP_SECRET`", "\n[tenants.default]\n", "- `--component <FILE>` — "]
    {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.lines().all(|line| line == line.trim_end()));
}
