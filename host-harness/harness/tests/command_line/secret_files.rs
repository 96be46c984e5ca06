//! Tests secrets in files: for each variable of a secret, the variable `…_FILE` names a file with its value.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::stage::Stage;

/// The variables of secrets, each with a value that the program accepts.
const SECRETS: [(&str, &str); 6] = [
    ("TIKTOK_SHOP_STORAGE", "sqlite:CANARY.sqlite"),
    ("TIKTOK_SHOP_APP_SECRET", "CANARY"),
    ("TIKTOK_SHOP_PREVIOUS_APP_SECRET", "CANARY"),
    ("TIKTOK_SHOP_PROXY", "http://user:CANARY@127.0.0.1:1"),
    ("TIKTOK_SHOP_KEY_SERVICE_TOKEN", "CANARY"),
    ("TIKTOK_SHOP_KEY_SERVICE_SECRET_ID", "CANARY"),
];

fn file(stage: &Stage, text: &str, mode: u32) -> PathBuf {
    let path = stage.home().join(format!("secret-{mode:o}"));
    let _ = fs::remove_file(&path);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn the_address_of_the_database_and_the_app_secret_can_be_in_files() {
    let stage = Stage::new();
    let database = stage.home().join("of-file.sqlite");
    let storage = file(&stage, &format!("sqlite:{}\n", database.display()), 0o600);
    let secret = file(&stage, &format!("{}\r\n", stage.app().app_secret), 0o400);
    stage.ok("keys init", "");
    for arguments in ["migrate", "check-config", "authorization-url customer-7"] {
        let mut command = stage.command(arguments);
        command.env("TIKTOK_SHOP_STORAGE_FILE", &storage).env("TIKTOK_SHOP_APP_SECRET_FILE", &secret);
        command.env("TIKTOK_SHOP_APP_KEY", stage.app().app_key);
        command.env("TIKTOK_SHOP_AUTHORIZATION_LINK", stage.app().authorization_link());
        let run = crate::run(command, "");
        assert_eq!(run.status, Some(0), "{arguments}: {}", run.stderr);
    }
    assert!(database.exists());
}

#[test]
fn every_secret_has_a_variable_for_a_file_whose_mistakes_are_errors() {
    let stage = Stage::new();
    for (name, value) in SECRETS {
        let of_file = format!("{name}_FILE");
        let error = |path: &PathBuf, access: &str, beside: Option<&str>| {
            let mut command = stage.command("list-connections customer-7");
            command.env(&of_file, path).env("TIKTOK_SHOP_FILE_ACCESS", access);
            if let Some(value) = beside {
                command.env(name, value);
            }
            let (status, line) = stage.error(command, "");
            assert!(!line.contains("CANARY"), "{line}");
            (status, line)
        };
        let private = file(&stage, value, 0o600);
        assert_eq!(
            error(&private, "owner", Some(value)),
            (Some(2), format!("{name} and {of_file} are both given; use only one"))
        );
        let missing = stage.home().join("missing");
        assert_eq!(
            error(&missing, "owner", None),
            (Some(2), format!("{of_file}: there is no file {}; correct the path", missing.display()))
        );
        let empty = file(&stage, "\n", 0o600);
        assert_eq!(error(&empty, "owner", None), (Some(2), format!("{of_file}: the file {}: empty", empty.display())));
        // The mode of a file in Kubernetes, with and without `fsGroup`.
        let of_group = file(&stage, value, 0o440);
        let (status, line) = error(&of_group, "owner", None);
        assert_eq!(status, Some(2));
        assert!(line.starts_with(&format!("{of_file}: {}: other users can read", of_group.display())), "{line}");
        let of_all = file(&stage, value, 0o444);
        for access in ["group", "mounted"] {
            let (status, line) = error(&of_all, access, None);
            assert_eq!(status, Some(2));
            assert!(line.starts_with(&format!("{of_file}: {}: every user can read it", of_all.display())), "{line}");
        }
    }
}
