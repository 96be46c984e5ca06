//! Tests the page that the program prints without arguments: how to begin, and where the files are.

use std::path::Path;

use crate::stage::{Stage, at_home};
use crate::{PROGRAM, Run, command, run};

#[test]
fn without_arguments_the_program_shows_where_its_files_are() {
    let home = tempfile::tempdir().unwrap();
    let page = |variables: &[(&str, &str)]| {
        let mut program = command(PROGRAM);
        at_home(&mut program, home.path());
        program.envs(variables.iter().copied());
        let Run { status, stdout, stderr } = run(program, "");
        assert_eq!((status, &*stderr), (Some(0), ""));
        assert!(
            stdout.lines().filter(|line| !line.contains("  /") && !line.contains(" | ")).all(|line| line.len() <= 100)
        );
        stdout
    };
    let printed = page(&[]);
    let data = home.path().join(".local/share/tiktok-shop-harness");
    for file in ["connections.sqlite", "fake-connections.sqlite", "host-keys", "fake-host-keys", "browser-session"] {
        assert!(printed.contains(&format!("  {} (does not exist yet)\n", data.join(file).display())), "{printed}");
    }
    let config = home.path().join(".config/tiktok-shop-harness/config.toml");
    assert!(printed.contains(&format!("  configuration    {} (does not exist yet)\n", config.display())), "{printed}");
    assert!(
        printed.contains("cargo xtask dist builds it") || printed.contains("tiktok_shop_connector.wasm\n"),
        "{printed}"
    );
    let printed = page(&[("XDG_DATA_HOME", "/elsewhere")]);
    assert!(
        printed.contains("  /elsewhere/tiktok-shop-harness/connections.sqlite (does not exist yet)\n"),
        "{printed}"
    );
}

#[test]
fn the_four_printed_commands_work() {
    let stage = Stage::new();
    let page = run(stage.with(&[]), "").stdout;
    let commands: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("  $ ")).collect();
    let [fake, variable, connect, list] = commands[..] else { panic!("{commands:?}") };
    assert_eq!(fake, "tiktok-shop-harness fake --port 4010 &", "the stage runs a fake already");
    assert_eq!(variable, "export TIKTOK_SHOP_FAKE=http://127.0.0.1:4010");
    let shell = |text: &str| {
        let mut shell = command("sh");
        stage.furnish(&mut shell);
        let folder = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
        shell.args(["-c", &format!("PATH='{folder}':$PATH\n{text}")]);
        let Run { status, stdout, stderr } = stage.run(shell, "");
        assert_eq!(status, Some(0), "{stderr}");
        stdout
    };
    assert!(shell(connect).starts_with("customer-7: Teapot Corner (GB), active\n"));
    assert!(shell(list).lines().nth(1).unwrap().starts_with("7490000000000000001  Teapot Corner  GB "));
}
