//! Finds the file of the component.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

const NAME: &str = "tiktok_shop_connector.wasm";
/// The folder of this package in the workspace in which this program was built.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
/// The target folder of the workspace. `None` if `CARGO_TARGET_DIR` was not set when this program was built. A relative
/// path starts at the workspace.
const TARGET: Option<&str> = option_env!("CARGO_TARGET_DIR");

/// Returns the path of the component. If no path is given, looks in the folder of this program, and then at the path
/// where `cargo xtask dist` puts the component in the workspace in which this program was built. The function does not
/// look in the current folder, because anybody may have put a file there. The host refuses a file that other users can
/// replace.
pub(crate) fn component_file(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    candidates().find(|path| path.is_file()).ok_or_else(|| {
        Failure::Unavailable(format!(
            "no component: {NAME} is neither beside this program nor in the workspace in which it was built; build it \
             with cargo xtask dist, or name a file with --component"
        ))
    })
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(NAME));
    let workspace = Path::new(PACKAGE).ancestors().nth(2);
    let built = workspace.map(|workspace| workspace.join(TARGET.unwrap_or("target")).join("dist").join(NAME));
    beside.into_iter().chain(built)
}
