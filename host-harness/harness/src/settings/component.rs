//! Finds the file of the component.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

const NAME: &str = "tiktok_shop_connector.wasm";

/// Returns the path of the component. If no path is given, looks beside this program, then in `target/dist` of the
/// current folder, and then in `target/dist` of each folder above it.
pub(crate) fn component_file(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => candidates().into_iter().find(|path| path.is_file()).ok_or_else(|| {
            Failure::Unavailable(format!(
                "no component: {NAME} is neither beside this program nor in target/dist of this folder or of a folder \
                 above it; build it with cargo xtask dist, or name a file with --component"
            ))
        })?,
    };
    // Reading a pipe or a device could block forever.
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
