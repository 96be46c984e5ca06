//! Caches the compiled code of a component in a private folder, so that a host starts in milliseconds.
//!
//! The engine runs compiled code without checking it. So the cache loads only code that this user's programs wrote: the
//! folder is private, and each entry carries a keyed digest (HMAC-SHA256) of its name and its code. The key is in the
//! same folder. An entry that is damaged, truncated, renamed, from another folder or from another version of the engine
//! is compiled again and replaced.

use std::fs;
use std::hash::{Hash as _, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tiktok_shop_connector_core::signing::hmac_sha256;
use tiktok_shop_private_file::{self as private_file, PrivateFileError};
use wasmtime::Engine;
use wasmtime::component::Component;
use zeroize::Zeroizing;

use crate::component::ComponentDigest;
use crate::randomness::{Randomness as _, SystemRandomness};

/// The maximum size of an entry: 64 MiB. The compiled connector is about 1 MB.
const MAX_ENTRY: u64 = 64 << 20;
/// The number of entries that a folder keeps. A new entry replaces the oldest one.
const MAX_ENTRIES: usize = 8;
/// The name of the file that contains the key.
const KEY: &str = "key";
/// The size of the key and of a keyed digest, in bytes.
const DIGEST: usize = 32;

/// A private folder with the compiled code of components. See
/// [`ConnectorHostBuilder::compiled_cache`](crate::ConnectorHostBuilder::compiled_cache).
///
/// Several processes may use one folder at the same time. The folder keeps the 8 newest entries. You may delete the
/// folder at any time.
#[derive(Debug, Clone)]
pub struct CompiledCache {
    folder: PathBuf,
}

/// Where the code of a compiled component came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// An entry of the cache.
    Cache,
    /// The compiler.
    Compiler,
}

impl CompiledCache {
    /// Uses this folder. The folder and the folders above it are created with the first entry. If another user can
    /// write to the folder, or if it can't be read or written, the host compiles the component at each start and logs
    /// the reason once.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns the compiled component, from the cache if possible.
    ///
    /// # Errors
    /// The engine does not accept the bytes as a component.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        digest: ComponentDigest,
    ) -> wasmtime::Result<Component> {
        self.load_or_compile(engine, bytes, digest).map(|(component, _)| component)
    }

    fn load_or_compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        digest: ComponentDigest,
    ) -> wasmtime::Result<(Component, Source)> {
        let name = entry_name(engine, digest);
        let path = self.folder.join(&name);
        let key = self.key().inspect_err(|error| self.warn(error)).ok();
        if let Some(component) = key.as_ref().and_then(|key| self.load(engine, key, &name, &path)) {
            return Ok((component, Source::Cache));
        }
        let component = Component::new(engine, bytes)?;
        if let Some(key) = key {
            match component.serialize() {
                Ok(code) => {
                    let stored = private_file::replace(&path, [&keyed_digest(&key, &name, &code), &*code].concat());
                    stored.unwrap_or_else(|error| self.warn(&error));
                    self.remove_oldest(&path);
                }
                Err(error) => tracing::warn!(%error, "the compiled component can't be cached"),
            }
        }
        Ok((component, Source::Compiler))
    }

    /// Returns the key of this folder, and draws it if the folder has none.
    fn key(&self) -> Result<Zeroizing<[u8; DIGEST]>, PrivateFileError> {
        let path = self.folder.join(KEY);
        loop {
            let found = private_file::read_bytes(&path, MAX_ENTRY)?;
            if let Some(key) = found.map(Zeroizing::new) {
                if let Ok(key) = <[u8; DIGEST]>::try_from(&**key) {
                    return Ok(Zeroizing::new(key));
                }
                // A damaged key opens no entry, so a new key replaces it, and all entries are compiled again.
                fs::remove_file(&path).map_err(|source| PrivateFileError::Io { path: path.clone(), source })?;
            }
            let mut key = Zeroizing::new([0; DIGEST]);
            SystemRandomness.fill(&mut *key).map_err(|error| {
                let source = std::io::Error::other(error.to_string());
                PrivateFileError::Io { path: path.clone(), source }
            })?;
            private_file::create(&path, *key)?;
        }
    }

    /// Loads an entry. Returns `None` if there is no entry, or if the entry was not written for this name with this key.
    fn load(&self, engine: &Engine, key: &[u8; DIGEST], name: &str, path: &Path) -> Option<Component> {
        let entry = private_file::read_bytes(path, MAX_ENTRY).unwrap_or_else(|error| {
            self.warn(&error);
            None
        })?;
        let (digest, code) = entry.split_first_chunk::<DIGEST>()?;
        if !bool::from(digest.ct_eq(&keyed_digest(key, name, code))) {
            return None;
        }
        #[allow(unsafe_code, reason = "the engine can't check compiled code, so its loading is unsafe")]
        // SAFETY: a program of this user wrote these bytes with `Component::serialize`. Only this user can read the key
        // and write the entry, and the keyed digest shows that the bytes are whole.
        let component = unsafe { Component::deserialize(engine, code) };
        component.inspect_err(|error| tracing::warn!(%error, "a cached component is compiled again")).ok()
    }

    /// Keeps `newest` and the entries that were written last, so that the folder does not grow with each new version of
    /// the component. Also removes what a process has left that was killed while it wrote an entry.
    fn remove_oldest(&self, newest: &Path) {
        let Ok(files) = fs::read_dir(&self.folder) else { return };
        let mut others: Vec<(SystemTime, PathBuf)> = files
            .filter_map(|file| {
                let path = file.ok()?.path();
                let is_key = path.file_name().is_some_and(|name| name == KEY);
                let is_other = !is_key && path != *newest;
                is_other.then_some((fs::metadata(&path).ok()?.modified().ok()?, path))
            })
            .collect();
        others.sort();
        let surplus = others.len().saturating_sub(MAX_ENTRIES - 1);
        for (_, path) in others.into_iter().take(surplus) {
            // Another process may have removed the entry already.
            let _removed = fs::remove_file(path);
        }
    }

    fn warn(&self, error: &PrivateFileError) {
        tracing::warn!(folder = %self.folder.display(), %error, "compiled code is not cached, so each start is slower");
    }
}

/// Returns the name of a component's entry. It differs for other settings and other versions of the engine.
fn entry_name(engine: &Engine, digest: ComponentDigest) -> String {
    let mut name = Name(Sha256::new_with_prefix(digest.to_string()));
    engine.precompile_compatibility_hash().hash(&mut name);
    format!("{}.cwasm", hex::encode(name.0.finalize()))
}

fn keyed_digest(key: &[u8; DIGEST], name: &str, code: &[u8]) -> [u8; DIGEST] {
    hmac_sha256(key, &[name.as_bytes(), code])
}

/// Collects what [`Engine::precompile_compatibility_hash`] writes into a digest.
struct Name(Sha256);

impl Hasher for Name {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Not called: the name is the whole digest.
        0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;
    use std::thread;

    use wasmtime::Config;

    use super::*;

    /// A component that contains nothing but a custom section with this name.
    fn component(name: u8) -> Vec<u8> {
        [b"\0asm\x0d\0\x01\0".as_slice(), &[0, 2, 1, name]].concat()
    }

    fn start(cache: &CompiledCache, engine: &Engine, bytes: &[u8]) -> Source {
        cache.load_or_compile(engine, bytes, ComponentDigest::of(bytes)).unwrap().1
    }

    fn entries(folder: &Path) -> Vec<PathBuf> {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some()).collect()
    }

    #[test]
    fn the_second_start_compiles_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompiledCache::in_folder(folder.path().join("new/cache"));
        let (engine, one, two) = (Engine::default(), component(b'1'), component(b'2'));
        assert_eq!(start(&cache, &engine, &one), Source::Compiler);
        assert_eq!(start(&cache, &engine, &one), Source::Cache);
        assert_eq!(start(&cache, &Engine::default(), &one), Source::Cache);
        assert_eq!(start(&cache, &engine, &two), Source::Compiler);
        let mut other_settings = Config::new();
        other_settings.epoch_interruption(true);
        assert_eq!(start(&cache, &Engine::new(&other_settings).unwrap(), &one), Source::Compiler);
        for path in fs::read_dir(&cache.folder).unwrap().map(|file| file.unwrap().path()) {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn an_entry_that_is_not_exactly_what_was_written_is_compiled_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompiledCache::in_folder(folder.path().join("cache"));
        let (engine, one, two) = (Engine::default(), component(b'1'), component(b'2'));
        start(&cache, &engine, &one);
        let path = entries(&cache.folder).pop().unwrap();
        let written = fs::read(&path).unwrap();
        start(&cache, &engine, &two);
        let of_two = entries(&cache.folder).into_iter().find(|other| *other != path).unwrap();
        let flipped = |at: usize| {
            let mut bytes = written.clone();
            *bytes.get_mut(at).unwrap() ^= 1;
            bytes
        };
        let changed = [
            ("no byte", vec![]),
            ("half a digest", written[..16].to_vec()),
            ("only the digest", written[..DIGEST].to_vec()),
            ("all but the last byte", written[..written.len() - 1].to_vec()),
            ("one byte more", [&*written, b"x"].concat()),
            ("another digest", flipped(0)),
            ("another first byte of the code", flipped(DIGEST)),
            ("another last byte of the code", flipped(written.len() - 1)),
            ("the entry of another component", fs::read(&of_two).unwrap()),
            ("code without a digest", Component::new(&engine, &one).unwrap().serialize().unwrap()),
        ];
        for (case, bytes) in changed {
            fs::write(&path, bytes).unwrap();
            assert_eq!(start(&cache, &engine, &one), Source::Compiler, "{case}");
            assert_eq!(start(&cache, &engine, &one), Source::Cache, "{case}: the entry is replaced");
        }

        // The entry was written with a valid digest, but it contains no code of this engine.
        let name = path.file_name().unwrap().to_str().unwrap();
        let nonsense = keyed_digest(&cache.key().unwrap(), name, b"older");
        fs::write(&path, [nonsense.as_slice(), b"older"].concat()).unwrap();
        assert_eq!(start(&cache, &engine, &one), Source::Compiler);
        assert_eq!(start(&cache, &engine, &one), Source::Cache);

        for key in [[1; DIGEST].as_slice(), b"short", b""] {
            fs::write(cache.folder.join("key"), key).unwrap();
            assert_eq!(start(&cache, &engine, &one), Source::Compiler, "an entry with the key of another folder");
            assert_eq!(start(&cache, &engine, &one), Source::Cache);
        }
    }

    #[test]
    fn a_folder_that_can_t_be_used_costs_only_the_compilation() {
        let folder = tempfile::tempdir().unwrap();
        let (engine, one) = (Engine::default(), component(b'1'));
        // A file stands where the folder should be.
        fs::write(folder.path().join("file"), "").unwrap();
        let cache = CompiledCache::in_folder(folder.path().join("file"));
        assert_eq!(start(&cache, &engine, &one), Source::Compiler);

        let cache = CompiledCache::in_folder(folder.path().join("open"));
        assert_eq!(start(&cache, &engine, &one), Source::Compiler);
        assert_eq!(start(&cache, &engine, &one), Source::Cache);
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(start(&cache, &engine, &one), Source::Compiler, "other users could have written the entry");
        // An entry can be read from a folder in which nothing can be written.
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(start(&cache, &engine, &one), Source::Cache);
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn processes_that_start_together_all_get_the_component() {
        const STARTS: usize = 8;
        let folder = tempfile::tempdir().unwrap();
        let cache = CompiledCache::in_folder(folder.path().join("cache"));
        let (engine, one, together) = (Engine::default(), component(b'1'), Barrier::new(STARTS));
        thread::scope(|scope| {
            for _ in 0..STARTS {
                scope.spawn(|| {
                    together.wait();
                    start(&cache, &engine, &one)
                });
            }
        });
        assert_eq!(start(&cache, &engine, &one), Source::Cache);
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 2, "the key and one entry");
    }

    #[test]
    fn the_oldest_entries_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompiledCache::in_folder(folder.path().join("cache"));
        let engine = Engine::default();
        for name in 0..20 {
            start(&cache, &engine, &component(name));
            for (age, path) in entries(&cache.folder).into_iter().enumerate() {
                assert!(age < MAX_ENTRIES, "{}", path.display());
            }
        }
        assert_eq!(start(&cache, &engine, &component(19)), Source::Cache);
        assert_eq!(start(&cache, &engine, &component(0)), Source::Compiler);
    }
}
