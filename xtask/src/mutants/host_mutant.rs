//! A patch that breaks a promise of the host, and the lines at its head that describe it.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::patch::Patch;

const FOLDER: &str = "host-harness/mutants";

/// A file `<name>.patch`: the lines `Promise:`, `Breaks:` and `Killed by:`, then the patch for `git apply`.
pub(super) struct HostMutant {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) promise: Promise,
    /// A sentence about the host's wrong behaviour with the patch.
    pub(super) breaks: String,
    /// The tests that fail with the patch. There is at least one.
    pub(super) killers: Vec<Killer>,
}

/// A sentence that a page of the documentation or a comment in the sources contains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Promise {
    /// The path of the file in the workspace.
    pub(super) file: String,
    /// The sentence, word for word. Line breaks of the file count as spaces.
    pub(super) quotation: String,
}

/// A test that fails with the patch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Killer {
    pub(super) package: String,
    /// The name of the test target, or `lib` for the tests in the sources of a library.
    pub(super) target: String,
    /// The whole name of the test, with its modules.
    pub(super) test: String,
    pub(super) storage: Storage,
}

/// The storage on which a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Storage {
    /// The test chooses its storage itself, and uses no database server.
    Own,
    Sqlite,
    Postgres,
}

impl Storage {
    /// Returns the words that name this storage at the end of a line `Killed by:`.
    const fn ending(self) -> &'static str {
        match self {
            Self::Own => "",
            Self::Sqlite => " on SQLite",
            Self::Postgres => " on PostgreSQL",
        }
    }
}

impl fmt::Display for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, target, test, storage } = self;
        write!(f, "{package} {target} {test}{}", storage.ending())
    }
}

impl HostMutant {
    /// Reads all mutants, sorted by name.
    pub(super) fn all() -> Result<Vec<Self>> {
        Patch::all(FOLDER)?.into_iter().map(Self::read).collect()
    }

    fn read(patch: Patch) -> Result<Self> {
        let Patch { name, path, text } = patch;
        let (promise, breaks, killers) = head(&text).with_context(|| path.display().to_string())?;
        Ok(Self { name, path, promise, breaks, killers })
    }
}

/// Reads the lines before the first empty line.
fn head(text: &str) -> Result<(Promise, String, Vec<Killer>)> {
    let (head, _) = text.split_once("\n\n").context("no empty line in front of the patch")?;
    let (mut promise, mut breaks, mut killers) = (None, None, Vec::new());
    for line in head.lines() {
        match line.split_once(": ") {
            Some(("Promise", promised)) if promise.is_none() => {
                let (file, quotation) = promised.split_once(": ").context("a promise is FILE: QUOTATION")?;
                promise = Some(Promise { file: file.to_owned(), quotation: quotation.to_owned() });
            }
            Some(("Breaks", wrong)) if breaks.is_none() => breaks = Some(wrong.to_owned()),
            Some(("Killed by", killer)) => killers.push(parse_killer(killer)?),
            _ => bail!("neither Promise:, nor Breaks:, nor Killed by:, or twice: {line}"),
        }
    }
    if killers.is_empty() {
        bail!("no line Killed by:");
    }
    Ok((promise.context("no line Promise:")?, breaks.context("no line Breaks:")?, killers))
}

fn parse_killer(text: &str) -> Result<Killer> {
    let databases = [Storage::Sqlite, Storage::Postgres];
    let (text, storage) = databases
        .into_iter()
        .find_map(|storage| Some((text.strip_suffix(storage.ending())?, storage)))
        .unwrap_or((text, Storage::Own));
    let [package, target, test] = text.split(' ').collect::<Vec<_>>()[..] else {
        bail!("a killer is PACKAGE TARGET TEST, with on SQLite or on PostgreSQL behind it: {text}");
    };
    Ok(Killer { package: package.to_owned(), target: target.to_owned(), test: test.to_owned(), storage })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Returns whether the text of a file contains this sentence. Comment marks, emphasis and line breaks are ignored.
    fn contains(text: &str, quotation: &str) -> bool {
        let lines = text.lines().map(|line| {
            let line = line.trim_start();
            ["///", "//!", "//", "#", "--"].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line)
        });
        let words = |text: &str| text.replace("**", "").split_whitespace().collect::<Vec<_>>().join(" ");
        words(&lines.collect::<Vec<_>>().join(" ")).contains(&words(quotation))
    }

    fn text_of(file: &str) -> String {
        let path = xtask::workspace_root().join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn the_head_of_a_patch_names_a_promise_its_break_and_the_tests_that_notice_it() {
        let text = "Promise: docs/storage.md: A write is atomic: always.\nBreaks: It is not.\n\
                    Killed by: host lib seal::tests::one\nKilled by: tests e2e two on PostgreSQL\n\n--- a\n+++ b\n";
        let (promise, breaks, killers) = head(text).unwrap();
        assert_eq!((&*promise.file, &*promise.quotation), ("docs/storage.md", "A write is atomic: always."));
        assert_eq!(breaks, "It is not.");
        let shown: Vec<_> = killers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["host lib seal::tests::one", "tests e2e two on PostgreSQL"]);
        assert_eq!(killers.iter().map(|killer| killer.storage).collect::<Vec<_>>(), [Storage::Own, Storage::Postgres]);
        for wrong in ["", "Breaks: x\n\n", "Promise: a: b\nBreaks: x\n\n", "Promise: a: b\nKilled by: a b c\n\n"] {
            assert!(head(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_quotation_may_go_over_several_lines_of_a_comment() {
        let text = "x\n    /// - **A write\n    ///   is atomic**, even then.\n";
        assert!(contains(text, "A write is atomic, even then."));
        assert!(!contains(text, "a write is atomic"));
    }

    #[test]
    fn every_promise_stands_word_for_word_in_its_file() {
        let wrong: Vec<_> = HostMutant::all()
            .unwrap()
            .into_iter()
            .filter(|mutant| !contains(&text_of(&mutant.promise.file), &mutant.promise.quotation))
            .map(|mutant| format!("{}: {}: {}", mutant.name, mutant.promise.file, mutant.promise.quotation))
            .collect();
        assert_eq!(wrong, [""; 0]);
    }

    /// Returns the sources of all packages of the workspace, each with the name of its package.
    fn sources() -> Vec<(String, String)> {
        fn collect(folder: &Path, text: &mut String) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "mutants") {
                    collect(&path, text);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    text.push_str(&fs::read_to_string(&path).unwrap());
                }
            }
        }
        let metadata = cargo_metadata::MetadataCommand::new().current_dir(xtask::workspace_root()).no_deps().exec();
        let of_package = |package: cargo_metadata::Package| {
            let mut text = String::new();
            collect(package.manifest_path.parent().unwrap().as_std_path(), &mut text);
            (package.name.to_string(), text)
        };
        metadata.unwrap().packages.into_iter().map(of_package).collect()
    }

    #[test]
    fn every_test_that_a_patch_names_exists() {
        let sources = sources();
        let mut missing = Vec::new();
        for mutant in HostMutant::all().unwrap() {
            for killer in mutant.killers {
                let function = killer.test.rsplit("::").next().unwrap();
                let text = sources.iter().find(|(package, _)| *package == killer.package).map(|(_, text)| text);
                if !text.is_some_and(|text| text.contains(&format!("fn {function}("))) {
                    missing.push(format!("{}: {killer}", mutant.name));
                }
            }
        }
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn a_patch_changes_the_host_and_a_change_of_a_storage_is_noticed_on_a_named_database() {
        for HostMutant { name, path, killers, .. } in HostMutant::all().unwrap() {
            let patch = fs::read_to_string(&path).unwrap();
            let files: Vec<_> = patch.lines().filter_map(|line| line.strip_prefix("+++ b/")).collect();
            assert!(
                !files.is_empty() && files.iter().all(|file| file.starts_with("host-harness/")),
                "{name}: {files:?}"
            );
            assert!(!files.iter().any(|file| file.contains("/tests")), "{name} changes tests: {files:?}");
            if files.iter().any(|file| file.starts_with("host-harness/sql-storage/src/")) {
                assert!(killers.iter().all(|killer| killer.storage != Storage::Own), "{name} names no database");
            }
        }
    }
}
