//! The tenant's apps: the key and secrets that Partner Center issued for each app, and the rules for the list of apps.

use crate::authorization_link::LinkScheme;
use crate::error::{Cause, Error};
use crate::secret::AppSecret;
use alloc::string::String;

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
pub fn check_apps(keys: &[impl AsRef<str>]) -> Result<(), Error> {
    // Sorting the keys would add some kilobytes to the component.
    let is_repeated = |key: &str| keys.iter().filter(|other| other.as_ref() == key).count() > 1;
    let note = if keys.is_empty() {
        NO_APP
    } else if keys.len() > MAX_APPS {
        TOO_MANY_APPS
    } else if keys.iter().any(|key| !(1..=MAX_APP_KEY_BYTES).contains(&key.as_ref().len())) {
        WRONG_LENGTH
    } else if keys.iter().any(|key| is_repeated(key.as_ref())) {
        SAME_APP_TWICE
    } else {
        return Ok(());
    };
    Err(Error::new(Cause::CredentialsRefused).with_note(note))
}

const NO_APP: &str = "the tenant has no app";
const TOO_MANY_APPS: &str = "the tenant has more than 16 apps";
const WRONG_LENGTH: &str = "the key of an app has 1 to 64 bytes";
const SAME_APP_TWICE: &str = "the tenant has the same app twice";

/// The longest list of apps in a note, in bytes. If the keys of the apps are longer, the note ends in `…`.
const MAX_NAMED_BYTES: usize = 180;

/// Returns the app that a call uses if its caller names none: the tenant's only app.
///
/// # Errors
/// Invalid request: `app-required` if the tenant has several apps. The note names them.
pub fn only_app(keys: &[impl AsRef<str>]) -> Result<&str, Error> {
    match keys {
        [] => Err(Error::new(Cause::CredentialsRefused)),
        [only] => Ok(only.as_ref()),
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
            text.push_str(", …");
            break;
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
    /// The schemes that the authorization link may have.
    pub link_scheme: LinkScheme,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn every_number_in_a_note_is_the_limit_in_the_code() {
        assert!(TOO_MANY_APPS.contains(&format!("more than {MAX_APPS} apps")));
        assert!(WRONG_LENGTH.contains(&format!("1 to {MAX_APP_KEY_BYTES} bytes")));
    }
}
