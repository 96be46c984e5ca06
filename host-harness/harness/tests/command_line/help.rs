//! Tests the help texts of all commands.

use crate::{Run, harness, run};

/// Every command, except the hidden command `documentation`.
pub(crate) const COMMANDS: [&str; 36] = [
    "authorization-url",
    "connect",
    "import",
    "export",
    "refresh",
    "list-shops",
    "list-connections",
    "link-shops",
    "access-token",
    "call",
    "disconnect",
    "webhook",
    "events",
    "sweep",
    "keys",
    "keys init",
    "keys status",
    "keys add",
    "keys promote",
    "keys rotate",
    "keys retire",
    "keys erase",
    "migrate",
    "serve",
    "check-config",
    "api-keys",
    "api-keys create",
    "webhook-secret",
    "fake",
    "probe",
    "contract",
    "inspect",
    "sign",
    "verify-webhook",
    "completions",
    "man",
];

#[test]
fn every_help_has_an_example_and_exit_statuses_and_fits_into_100_columns() {
    for command in COMMANDS.into_iter().chain([""]) {
        for option in ["--help", "-h"] {
            let arguments = format!("{command} {option}");
            let Run { status, stdout, stderr } = run(harness(&arguments), "");
            assert_eq!((status, &*stderr), (Some(0), ""), "{arguments}");
            assert!(stdout.contains("\n  $ "), "{arguments}:\n{stdout}");
            let (_, statuses) = stdout.split_once("\nExit status:").expect(&arguments);
            assert!(statuses.trim_start().starts_with('0'), "{arguments}");
            let wide: Vec<_> = stdout.lines().filter(|line| line.chars().count() > 100).collect();
            assert_eq!(wide, [""; 0], "{arguments}");
            assert!(stdout.lines().all(|line| !line.ends_with(' ') || line.trim().is_empty()), "{arguments}");
        }
    }
}

#[test]
fn the_help_lists_every_command_and_every_exit_status() {
    let Run { stdout, .. } = run(harness("--help"), "");
    for command in COMMANDS.iter().filter(|command| !command.contains(' ')) {
        assert!(stdout.contains(&format!("\n  {command} ")), "{command}");
    }
    let (_, statuses) = stdout.split_once("\nExit status:\n").unwrap();
    let statuses = statuses.lines().filter_map(|line| line.get(..4)?.trim().parse::<u8>().ok());
    assert_eq!(statuses.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 20, 130]);
    assert!(!stdout.contains("documentation"), "the command that prints docs/command-line.md is hidden");
}

#[test]
fn the_version_names_the_package_the_component_and_the_schema() {
    let component = xtask::component().unwrap();
    let digest = tiktok_shop_host::ComponentDigest::of(&std::fs::read(&component).unwrap());
    let version = env!("CARGO_PKG_VERSION");
    let schema = tiktok_shop_sql_storage::SqlStorage::SCHEMA_VERSION;
    let with_component = |arguments: &str, path: &std::path::Path| {
        let mut command = harness(arguments);
        command.env("TIKTOK_SHOP_COMPONENT", path);
        let Run { status, stdout, stderr } = run(command, "");
        assert_eq!((status, &*stderr), (Some(0), ""), "{arguments}");
        stdout
    };
    let expected = format!(
        "tiktok-shop-harness {version}\n    wasm    {}\n    sha256  {digest}\n    schema  {schema}\n",
        component.display()
    );
    for option in ["--version", "-V"] {
        assert_eq!(with_component(option, &component), expected);
    }
    let printed: serde_json::Value = serde_json::from_str(&with_component("--version --json", &component)).unwrap();
    let component = serde_json::json!({ "path": component, "sha256": digest.to_string() });
    assert_eq!(printed, serde_json::json!({ "version": version, "component": component, "schema": schema }));
    let missing = with_component("--version", std::path::Path::new("/no/such"));
    assert!(missing.starts_with(&format!("tiktok-shop-harness {version}\n    wasm    /no/such: ")), "{missing}");
}
