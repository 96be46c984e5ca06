//! Which component to run.

use std::path::{Path, PathBuf};

use crate::command_line::failure::Failure;

const NAME: &str = "tiktok_shop_connector.wasm";

/// The one that is named; else the one beside this program, or the one that `cargo xtask dist` made in the current folder or
/// above it.
pub(crate) fn component_file(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => candidates().into_iter().find(|path| path.is_file()).ok_or_else(|| {
            Failure::Unavailable(format!(
                "no component: there is no {NAME} beside this program, nor in target/dist here or above; \
                 cargo xtask dist makes it, --component names another"
            ))
        })?,
    };
    // Whatever else it is, such as a pipe, could keep its reader waiting for ever.
    match path.metadata() {
        Ok(found) if found.is_file() => Ok(path),
        Ok(_) => Err(Failure::Unavailable(format!("component {}: not a regular file", path.display()))),
        Err(error) => Err(Failure::Unavailable(format!("component {}: {error}", path.display()))),
    }
}

fn candidates() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(NAME));
    let here = std::env::current_dir().unwrap_or_default();
    beside.into_iter().chain(here.ancestors().map(|folder| folder.join("target/dist").join(NAME))).collect()
}
