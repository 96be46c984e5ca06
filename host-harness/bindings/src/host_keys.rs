//! Opens the host keys that the options name.

use std::sync::Arc;

use tiktok_shop_host::seal::{HostKeys, KeyFile, KeyFileError, KeyProvider, KeySuccession};

use crate::error::BindingError;
use crate::foreign::Foreign;
use crate::foreign_keys::ForeignKeys;
use crate::key_options::{EarlierKeyOption, KeyOption};
use crate::options::SecretText;

/// The host keys, and the file that contains them, if they are in a file.
pub(crate) struct OpenKeys {
    pub(crate) provider: Arc<dyn KeyProvider>,
    pub(crate) file: Option<KeyFile>,
}

impl OpenKeys {
    /// Opens the host keys. `foreign` is the key provider in the other language, if the options name one. This function
    /// connects to no key service, and calls no function of the key provider.
    ///
    /// # Errors
    /// The keys can't be opened (`host-keys`), or the options do not fit together (`invalid-argument`).
    pub(crate) fn open(
        option: KeyOption,
        earlier: Option<EarlierKeyOption>,
        foreign: Option<Arc<dyn Foreign>>,
        has_fake: bool,
    ) -> Result<Self, BindingError> {
        let mut keys = Self::open_current(option, foreign, has_fake)?;
        if let Some(earlier) = earlier {
            let earlier: Arc<dyn KeyProvider> = match earlier {
                EarlierKeyOption::Text(text) => Arc::new(parse(&text)?),
                EarlierKeyOption::File(path) => Arc::new(KeyFile::open(path).map_err(unreadable)?),
                EarlierKeyOption::KeyService(service) => Arc::new(service.open(has_fake)?),
            };
            keys.provider = Arc::new(KeySuccession::new(keys.provider, earlier));
        }
        Ok(keys)
    }

    fn open_current(
        option: KeyOption,
        foreign: Option<Arc<dyn Foreign>>,
        has_fake: bool,
    ) -> Result<Self, BindingError> {
        let without_file = |provider| Ok(Self { provider, file: None });
        let file = match option {
            KeyOption::Text(text) => return without_file(Arc::new(parse(&text)?)),
            KeyOption::KeyService(service) => return without_file(Arc::new(service.open(has_fake)?)),
            KeyOption::Foreign(functions) => {
                let missing = || BindingError::arguments("keys: no object is given");
                return without_file(Arc::new(ForeignKeys::new(foreign.ok_or_else(missing)?, functions)));
            }
            KeyOption::Drawn => {
                let no_randomness = |error| BindingError::settings("host-keys", format!("no randomness: {error}"));
                return without_file(Arc::new(HostKeys::draw().map_err(no_randomness)?));
            }
            KeyOption::File(path) => KeyFile::open(path),
            KeyOption::FileOrNew(path) => KeyFile::open_or_create(path),
        };
        let file = file.map_err(unreadable)?;
        Ok(Self { provider: Arc::new(file.clone()), file: Some(file) })
    }
}

fn parse(SecretText(text): &SecretText) -> Result<HostKeys, BindingError> {
    HostKeys::parse(text.expose()).map_err(|error| BindingError::settings("host-keys", error.to_string()))
}

fn unreadable(error: KeyFileError) -> BindingError {
    BindingError::settings("host-keys", error.to_string())
}

/// Checks that the options fit together. `is_database` is true for SQLite and PostgreSQL. It is false for a storage in
/// the other language, because such a storage may keep its data in memory.
///
/// # Errors
/// The host keys are drawn for a database, so nobody could open its values after the next start. Or there are earlier
/// host keys without a key service or a key provider. Or two key services have the same prefix.
pub(crate) fn check_key_options(
    keys: &KeyOption,
    earlier: Option<&EarlierKeyOption>,
    is_database: bool,
) -> Result<(), BindingError> {
    if is_database && matches!(keys, KeyOption::Drawn) {
        let text =
            "keys: `drawn` is not for a database, because nobody could read it after the next start; name a key file";
        return Err(BindingError::arguments(text));
    }
    let may_have_earlier = matches!(keys, KeyOption::KeyService(_) | KeyOption::Foreign(_));
    if earlier.is_some() && !may_have_earlier {
        let text =
            "`earlier_keys`: only for a key service or a key provider of your own; add earlier keys to the key file";
        return Err(BindingError::arguments(text));
    }
    if let (KeyOption::KeyService(now), Some(EarlierKeyOption::KeyService(before))) = (keys, earlier)
        && now.has_prefix_of(before)
    {
        let text = "`earlier_keys`: the two key services have the same `prefix`, so one id could name two host keys; \
                    give `keys` another `prefix`";
        return Err(BindingError::arguments(text));
    }
    Ok(())
}
