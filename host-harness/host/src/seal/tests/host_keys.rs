//! Tests of host keys that are read from a text or a file.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::thread;

use super::*;
use crate::id::HostKeyId;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[test]
fn keys_are_read_from_a_text_and_the_first_one_is_the_current_key() {
    let other = "ff".repeat(32);
    for text in [
        format!("a:{KEY},arn:aws:kms:b:{other}"),
        format!("a:{KEY}\narn:aws:kms:b:{other}\n"),
        format!(" ,a:{KEY} ,\t arn:aws:kms:b:{}, ", other.to_uppercase()),
    ] {
        let keys = HostKeys::parse(&text).unwrap();
        let read: Vec<_> = keys.expose().map(|(id, key)| (id.as_str(), hex::encode(key.expose()))).collect();
        assert_eq!(read, [("a", KEY.to_owned()), ("arn:aws:kms:b", other.clone())]);
    }
}

#[test]
fn a_text_without_valid_keys_is_refused_with_the_position_and_without_the_key() {
    let long = "x".repeat(257);
    let table = [
        (String::new(), "no host key"),
        (" ,\n,".to_owned(), "no host key"),
        (KEY.to_owned(), "host key 1: not ID:KEY, where KEY is 64 hexadecimal digits"),
        (format!("a:{KEY},b:{KEY}0"), "host key 2: not ID:KEY, where KEY is 64 hexadecimal digits"),
        (format!("a:{KEY},b:{}", &KEY[2..]), "host key 2: not ID:KEY, where KEY is 64 hexadecimal digits"),
        (format!("a:{}g", &KEY[1..]), "host key 1: not ID:KEY, where KEY is 64 hexadecimal digits"),
        (format!(":{KEY}"), "host key 1: host key id: 1 to 256 visible ASCII characters"),
        (format!("ä:{KEY}"), "host key 1: host key id: 1 to 256 visible ASCII characters"),
        (
            format!("\u{feff}a:{KEY}"),
            "character 1 is U+FEFF, which no host key contains and which may be invisible; remove it",
        ),
        (
            format!("a:{KEY}\u{200b}"),
            "character 67 is U+200B, which no host key contains and which may be invisible; remove it",
        ),
        (format!("{long}:{KEY}"), "host key 1: host key id: 1 to 256 visible ASCII characters"),
        // If an entry has a wrong separator, the entry is refused, so that no key becomes a part of an id.
        (format!("a:{KEY};b:{KEY}"), "host key 1: not ID:KEY, where KEY is 64 hexadecimal digits"),
        (format!("a={KEY}:{KEY}"), "host key 1: not ID:KEY, where KEY is 64 hexadecimal digits"),
        (format!("{KEY}:{KEY}"), "host key 1: not ID:KEY, where KEY is 64 hexadecimal digits"),
        (format!("a:{KEY},a:{KEY}"), "host key a is listed twice"),
        (
            format!("a:{KEY},b:{}", "0".repeat(64)),
            "host key b is all zeros; draw 64 random hexadecimal digits, for example with openssl rand -hex 32",
        ),
    ];
    for (text, expected) in table {
        let error = HostKeys::parse(&text).unwrap_err().to_string();
        assert_eq!(error, expected);
        assert!(!error.contains(&KEY[2..20]));
    }
}

fn ids(file: &KeyFile) -> Vec<HostKeyId> {
    file.keys().unwrap().ids().cloned().collect()
}

#[test]
fn a_key_file_is_created_once_and_opening_never_creates_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    assert!(matches!(KeyFile::open(&path), Err(KeyFileError::Missing(missing)) if missing == path));
    assert!(!path.exists());
    let created = ids(&KeyFile::create(&path).unwrap());
    assert_eq!(created, ids(&KeyFile::open(&path).unwrap()));
    assert!(matches!(KeyFile::create(&path), Err(KeyFileError::Exists(existing)) if existing == path));
    assert_eq!(created, ids(&KeyFile::open(&path).unwrap()), "the file stays as it is");
}

#[test]
fn threads_that_open_a_missing_key_file_create_one_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/on/first/use");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || ids(&KeyFile::open_or_create(path).unwrap()))
        })
        .collect();
    let all: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(all.iter().all(|ids| ids.len() == 1 && *ids == all[0]), "{all:?}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn keys_added_at_the_same_time_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let first = ids(&file);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn({
                let file = file.clone();
                move || file.add().unwrap()
            })
        })
        .collect();
    let added: std::collections::BTreeSet<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let all = ids(&file);
    assert_eq!((added.len(), all.len()), (8, 9));
    assert!(added.iter().all(|id| all.contains(id)));
    assert_eq!(all[..1], first, "the current key stays the current one");
}

#[tokio::test]
async fn an_added_key_wraps_nothing_until_it_is_promoted_and_the_other_keys_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let first = file.current().await.unwrap();
    let (second, third) = (file.add().unwrap(), file.add().unwrap());
    assert_eq!(ids(&file), [first.clone(), second.clone(), third.clone()]);
    let (tenant, data_key) = (tenant("t"), DataKey::new([7; 32]));
    let wrapped = file.wrap(&tenant, &data_key, b"context").await.unwrap();
    assert_eq!(wrapped.host_key, first);
    let before = fs::read_to_string(file.path()).unwrap();

    file.promote(&third).unwrap();
    assert_eq!(ids(&file), [third.clone(), first.clone(), second]);
    assert_eq!(file.wrap(&tenant, &data_key, b"context").await.unwrap().host_key, third);
    file.unwrap(&tenant, &wrapped, b"context").await.unwrap();
    let after = fs::read_to_string(file.path()).unwrap();
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&after), sorted(&before), "no key is lost or changed");
    assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_key_that_is_missing_or_current_already_is_not_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::open_or_create(folder.path().join("keys")).unwrap();
    let before = fs::read_to_string(file.path()).unwrap();
    let current = ids(&file).remove(0);
    assert!(matches!(file.promote(&current), Err(KeyFileError::AlreadyCurrent(id)) if id == current));
    let unknown: HostKeyId = "unknown".parse().unwrap();
    assert!(matches!(file.promote(&unknown), Err(KeyFileError::NoSuchKey(id)) if id == unknown));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), before);
}

#[tokio::test]
async fn a_missing_or_public_or_malformed_key_file_is_reported_and_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let file = KeyFile::open_or_create(&path).unwrap();
    let (tenant, data_key) = (tenant("t"), DataKey::new([7; 32]));
    let wrapped = file.wrap(&tenant, &data_key, b"context").await.unwrap();
    assert_eq!(file.unwrap(&tenant, &wrapped, b"context").await.unwrap().expose(), data_key.expose());
    assert_eq!(
        file.unwrap(&tenant, &wrapped, b"another").await.unwrap_err(),
        KeyError::Mismatch(wrapped.host_key.clone())
    );

    let shown = path.display();
    let assert_unavailable = async |why: String| {
        let key = Some(wrapped.host_key.clone());
        assert_eq!(
            file.unwrap(&tenant, &wrapped, b"context").await.unwrap_err(),
            KeyError::Unavailable { key, why: why.clone() }
        );
        assert_eq!(file.current().await.unwrap_err(), KeyError::Unavailable { key: None, why });
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_unavailable(format!("{shown}: other users can read or write it (mode 644); make it private with chmod 600"))
        .await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "a:b").unwrap();
    assert_unavailable(format!("{shown}: host key 1: not ID:KEY, where KEY is 64 hexadecimal digits")).await;
    assert_eq!(
        KeyFile::open_or_create(&path).unwrap_err().to_string(),
        format!("{shown}: host key 1: not ID:KEY, where KEY is 64 hexadecimal digits")
    );
    fs::remove_file(&path).unwrap();
    assert_unavailable(format!("{shown}: there is no such file")).await;
}
