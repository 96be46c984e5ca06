//! Reads or creates the browser session of this user. The session binds a consent to the user who began the consent, as
//! a cookie does in a browser.

use std::path::Path;

use tiktok_shop_host::consent::BrowserSession;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_private_file as private_file;

use super::folders::browser_session_file;
use crate::failure::Failure;

/// The maximum size of the file, in bytes. The program itself writes 64 bytes.
const MAX_BYTES: u64 = 1024;

/// Returns this user's session. On first use, draws a random session and writes it to a file.
pub(crate) fn browser_session() -> Result<BrowserSession, Failure> {
    let path = browser_session_file()?;
    let secret = match private_file::read(&path, MAX_BYTES)? {
        Some(secret) => secret,
        None => create(&path)?,
    };
    BrowserSession::new(secret.trim_end().into())
        .ok_or_else(|| Failure::Unavailable(format!("{}: not a browser session; delete the file", path.display())))
}

/// Creates the file and returns its text. If another process creates the file first, returns the text that the
/// other process has written.
fn create(path: &Path) -> Result<String, Failure> {
    let mut bits = [0; 32];
    SystemRandomness.fill(&mut bits).map_err(|error| Failure::Unavailable(format!("no randomness: {error}")))?;
    private_file::create(path, hex::encode(bits))?;
    let removed = || Failure::Unavailable(format!("{}: another process removed it; try again", path.display()));
    private_file::read(path, MAX_BYTES)?.ok_or_else(removed)
}
