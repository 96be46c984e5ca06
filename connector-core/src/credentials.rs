//! The tenant's apps: the key and secrets that Partner Center issued for each app, and the rules for the list of apps.

use crate::error::{Cause, Error};
use crate::secret::AppSecret;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The largest number of apps that a tenant may have. A host tries the secrets of all apps for each webhook, so this
/// number also limits the work for a forged webhook.
pub const MAX_APPS: usize = 16;
/// The longest key of an app, in bytes.
pub const MAX_APP_KEY_BYTES: usize = 64;

/// Checks the keys of a tenant's apps: there are 1 to [`MAX_APPS`] keys, each has 1 to [`MAX_APP_KEY_BYTES`] bytes, and
/// no key is there twice. A host calls this function for the apps that it was configured with. The connector calls it
/// for the apps that its host names.
///
/// # Errors
/// Misconfigured: `credentials-refused`, with a note that says which rule is broken.
pub fn check_apps<'a>(keys: impl IntoIterator<Item = &'a str> + Clone) -> Result<(), Error> {
    let refused = |note: &str| Err(Error::new(Cause::CredentialsRefused).with_note(note));
    let count = keys.clone().into_iter().count();
    if count == 0 {
        return refused("the tenant has no app");
    }
    if count > MAX_APPS {
        return refused(&format!("the tenant has {count} apps; at most {MAX_APPS} are possible"));
    }
    for (place, key) in keys.clone().into_iter().enumerate() {
        if key.is_empty() || key.len() > MAX_APP_KEY_BYTES {
            return refused(&format!("the key of an app has 1 to {MAX_APP_KEY_BYTES} bytes"));
        }
        if keys.clone().into_iter().take(place).any(|earlier| earlier == key) {
            return refused(&format!("the tenant has the app {key} twice"));
        }
    }
    Ok(())
}

/// The longest list of apps in a note, in bytes. If the keys of the apps are longer, the note says how many it leaves
/// out.
const MAX_NAMED_BYTES: usize = 180;

/// Returns the app that a call uses if its caller names none: the tenant's only app.
///
/// # Errors
/// Invalid request: `app-required` if the tenant has several apps. The note names them.
pub fn only_app<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<&'a str, Error> {
    let keys: Vec<_> = keys.into_iter().collect();
    match keys.as_slice() {
        [] => Err(Error::new(Cause::CredentialsRefused)),
        [only] => Ok(only),
        several => Err(Error::new(Cause::AppRequired).with_note(&named(several))),
    }
}

/// Returns the keys of a tenant's apps as a text for a note.
pub(crate) fn named(keys: &[impl AsRef<str>]) -> String {
    let mut text = String::from("apps: ");
    for (place, key) in keys.iter().enumerate() {
        let key = key.as_ref();
        let separator = if place == 0 { "" } else { ", " };
        if text.len() + separator.len() + key.len() > MAX_NAMED_BYTES {
            return format!("{text} and {} others", keys.len() - place);
        }
        text.push_str(separator);
        text.push_str(key);
    }
    text
}

/// The credentials of one app.
pub struct Credentials {
    /// The public identifier of the app.
    pub app_key: String,
    /// The secret that signs requests and authenticates token requests.
    pub app_secret: AppSecret,
    /// The secret that was in use before `app_secret`. It only verifies webhooks; no request is signed with it.
    pub previous_app_secret: Option<AppSecret>,
    /// The authorization link as Partner Center shows it.
    pub authorization_link: Option<String>,
}
