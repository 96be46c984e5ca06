//! Tests what the program prints for shells and for `man`, and how one command reads the output of another command.
#![cfg(unix)]

use fake_tiktok_shop::Decision;

use crate::help::COMMANDS;
use crate::stage::Stage;
use crate::{Run, command, harness, run};

#[test]
fn every_shell_gets_a_script_that_names_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let Run { status, stdout, stderr } = run(harness(&format!("completions {shell}")), "");
        assert_eq!((status, &*stderr), (Some(0), ""), "{shell}");
        for name in COMMANDS.iter().filter(|name| !name.contains(' ')) {
            assert!(stdout.contains(name), "{shell}: {name}");
        }
    }
    let unknown = run(harness("completions tcsh"), "");
    assert_eq!((unknown.status, &*unknown.stdout), (Some(2), ""));
}

/// The program prints a completion script. Bash loads this script, and completes a line with it.
#[test]
fn bash_reads_its_script_and_completes_a_command() {
    let script = run(harness("completions bash"), "").stdout;
    let mut check = command("bash");
    check.arg("-n");
    assert_eq!(run(check, &script), Run { status: Some(0), stdout: String::new(), stderr: String::new() });
    assert!(script.contains("--allow-absent"), "the script contains the options of each command");
    let ask = format!(
        "{script}\nCOMP_WORDS=(tiktok-shop-harness list-c) COMP_CWORD=1\n\
         _tiktok__shop__harness tiktok-shop-harness list-c tiktok-shop-harness\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let asked = run(command("bash"), ask);
    assert_eq!((asked.status, &*asked.stdout), (Some(0), "list-connections\n"), "{}", asked.stderr);
}

#[test]
fn every_command_has_a_manual_page_with_its_help() {
    for name in COMMANDS.into_iter().chain([""]) {
        let Run { status, stdout, stderr } = run(harness(&format!("man {name}")), "");
        assert_eq!((status, &*stderr), (Some(0), ""), "{name}");
        let title = format!("tiktok-shop-harness {name}").trim_end().replace(' ', "-");
        assert!(stdout.contains(&format!(".TH {title} 1 ")), "{name}: {stdout}");
        assert!(stdout.contains("Exit status:"), "{name}");
        // The program's own page does not name the hidden command.
        assert!(!name.is_empty() || !stdout.contains("tiktok\\-shop\\-harness\\-documentation"), "{stdout}");
    }
}

/// `man` is not installed on every machine. Without `man`, the test checks only that the page has no malformed line.
#[test]
fn the_manual_page_is_rendered_without_warnings() {
    let page = run(harness("man disconnect"), "").stdout;
    for line in page.lines().filter(|line| line.starts_with('.')) {
        assert!(line[1..].starts_with(|c: char| c.is_ascii_alphabetic()), "not a request of roff: {line}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.1");
    std::fs::write(&path, &page).unwrap();
    if !["/usr/bin/man", "/bin/man"].iter().any(|program| std::path::Path::new(program).exists()) {
        return;
    }
    let mut man = command("man");
    man.args(["--warnings", "-l"]).arg(&path).env("MANPAGER", "cat").env("LC_ALL", "C.UTF-8");
    let Run { status, stdout, stderr } = run(man, "");
    // On a minimal Debian, `man` is only a script that says how to install the real `man`.
    if !stdout.contains("minimized") {
        assert_eq!((status, &*stderr), (Some(0), ""));
        assert!(stdout.contains("--allow-absent"), "{stdout}");
    }
}

#[test]
fn connect_reads_what_authorization_url_prints() {
    let stage = Stage::new();
    for format in ["", " --json"] {
        // The help text shows this pipe. The output of `authorization-url` contains secrets, so the test does not
        // record it.
        let callback =
            run(stage.command(&format!("authorization-url customer-7 --consent-as one-shop{format}")), "").stdout;
        let connected = stage.ok(&format!("connect{format}"), &callback);
        assert!(connected.contains("customer-7"), "{connected}");
    }
    let link = run(stage.command("authorization-url customer-7 --json"), "").stdout;
    let (status, line) = stage.error(stage.command("connect"), &link);
    assert_eq!(status, Some(2), "{line}");
    assert!(line.starts_with("standard input: the link of a consent, not a callback; open the link"), "{line}");
    let (status, line) = stage.error(stage.command("connect"), stage.link("customer-7"));
    assert_eq!((status, line.contains("not a callback; open the link")), (Some(2), true), "{line}");

    // A mistake in the input does not spend the state of the callback.
    let link = stage.link("customer-8");
    let callback = stage.decide(&link, "one-shop", Decision::Allow);
    stage.error(stage.command("connect"), format!("{{\"callback\":\"{callback}\"}}"));
    stage.ok("connect", &format!("{{\"callback_query\":\"{callback}\"}}"));
}
