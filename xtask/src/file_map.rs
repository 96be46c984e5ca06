//! Writes the section "Every file of the product" of `CONTRIBUTING.md`: the path of each source file and the first
//! sentence of its documentation.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The path of the page in the workspace.
pub(crate) const PATH: &str = "CONTRIBUTING.md";

/// The section begins after this line and ends at the end of the page.
const START: &str = "<!-- Written by `cargo xtask docs` from the first sentence of each file; a test fails while it is out of date. -->\n";

/// The folders with product code, in the order in which a call passes through them.
const FOLDERS: [&str; 14] = [
    "connector-core/src",
    "connector/src",
    "host-harness/host/src",
    "host-harness/sql-storage/src",
    "host-harness/storage-contract/src",
    "host-harness/key-service/src",
    "host-harness/private-file/src",
    "host-harness/fake-client/src",
    "host-harness/probe/src",
    "host-harness/server/src",
    "host-harness/bindings/src",
    "host-harness/node/src",
    "host-harness/python/src",
    "host-harness/harness/src",
];

/// Returns the text of the page with a new section.
pub(crate) fn page() -> Result<String> {
    let root = xtask::workspace_root();
    let written = fs::read_to_string(root.join(PATH)).with_context(|| PATH.to_owned())?;
    let (by_hand, _) = written.split_once(START).with_context(|| format!("{PATH} lacks the line: {START}"))?;
    let mut page = format!("{by_hand}{START}");
    for folder in FOLDERS {
        page.push_str(&format!("\n### {folder}\n\n| file | what it contains |\n| --- | --- |\n"));
        let folder = root.join(folder);
        for file in sources(&folder)? {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let purpose = purpose(&text);
            ensure!(!purpose.is_empty(), "{} does not begin with its documentation", file.display());
            let path = file.strip_prefix(&folder)?.display();
            page.push_str(&format!("| `{path}` | {purpose} |\n"));
        }
    }
    Ok(page)
}

/// Returns the source files in a folder and in its subfolders, in the order of their paths. Leaves out tests.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort_by_key(|path| path.with_extension(""));
    Ok(found)
}

/// Returns the first sentence of a file's documentation, without the brackets of links.
fn purpose(text: &str) -> String {
    let paragraph: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let mut paragraph = paragraph.join(" ").replace("[`", "`").replace('|', "\\|");
    while let Some((before, target)) = paragraph.split_once("`](") {
        let after = target.split_once(')').map_or("", |(_, after)| after);
        paragraph = format!("{before}`{after}");
    }
    let paragraph = paragraph.replace("`]", "`");
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    paragraph.get(..end).unwrap_or_default().trim_end_matches(['.', ':']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_files_is_up_to_date() {
        let written = fs::read_to_string(xtask::workspace_root().join(PATH)).unwrap();
        assert!(written == page().unwrap(), "{PATH} is not up to date: cargo xtask docs");
    }

    #[test]
    fn the_purpose_is_the_first_sentence() {
        let file = "//! Reads [`Rows`] of a\n//! [`Table`](crate::Table). More.\n//!\n//! Even more.\nuse std::fs;\n";
        assert_eq!(purpose(file), "Reads `Rows` of a `Table`");
        assert_eq!(purpose("use std::fs;\n"), "");
    }
}
