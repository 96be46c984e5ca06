//! Tests wrong, missing and hostile arguments. For a refused argument, the program prints one line, which contains no
//! secret and no long value.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::stage::Stage;
use crate::{Run, harness, help, run};

#[test]
fn a_wrong_argument_is_described_in_one_line() {
    let stage = Stage::new();
    let table: &[(&[&str], &str)] = &[
        (&["sing"], "unknown command (similar: sign)"),
        (&["CANARY"], "unknown command"),
        (&["--CANARY"], "unknown option --CANARY"),
        (&["sign", "--app-secret=CANARY"], "unknown option --app-secret"),
        (&["list-shops", "c", "--app-secret", "CANARY"], "unknown option --app-secret"),
        (&["list-shops", "c", "--jsn"], "unknown option --jsn (similar: --json)"),
        (&["list-shops", "c", "CANARY"], "unexpected argument"),
        (&["connect", "code=CANARY&state=CANARY"], "unexpected argument"),
        (&["list-shops"], "missing: <CUSTOMER>"),
        (&["call", "c"], "missing: <METHOD>, <PATH>"),
        (&["list-shops", ""], "<CUSTOMER>: customer id: 1 to 256 bytes"),
        (&["list-shops", "c", "--tenant", ""], "--tenant <ID>: empty"),
        (&["refresh", "c", "--account", ""], "--account <ID>: account id: 1 to 256 bytes"),
        (
            &["list-connections"],
            "no customer is named; name the customer, or list the connections of all customers with --tenant-wide",
        ),
        (&["list-connections", "c", "--tenant-wide"], "[CUSTOMER] can't be used with --tenant-wide"),
        (&["list-connections", "--shop", "1"], "missing: --tenant-wide"),
        (
            &["list-connections", "--tenant-wide", "--after", "c"],
            "--after <CUSTOMER> <ACCOUNT>: 2 values are needed, and 1 is given",
        ),
        (
            &["call", "c", "GET", "/order/202309/orders?ids=CANARY"],
            "<PATH>: contains a query; give each parameter with --query NAME=VALUE, not percent-encoded",
        ),
        (
            &["list-connections", "--tenant-wide", "--status", "CANARY"],
            "--status <STATUS>: not one of active, authorization-ending, reauthorization-required",
        ),
        (&["list-connections", "--tenant-wide", "--limit", "0"], "--limit <NUMBER>: 0 is not a number from 1 to 1000"),
        (&["list-connections", "--tenant-wide", "--after", "", "a"], "--after: customer id: 1 to 256 bytes"),
        (&["link-shops", "c"], "no shop is named; name the shops to link, or unlink all shops with --none"),
        (&["disconnect", "c", "--yes"], "missing: --revoke"),
        (&["completions", "CANARY"], "<SHELL>: not one of bash, elvish, fish, powershell, zsh"),
        (&["man", "CANARY"], "unknown command"),
        (&["link-shops", "c", "CANARY"], "[SHOP]...: shop id: 1 to 19 digits"),
        (&["call", "c", "GET", "/p", "--shop", "12345678901234567890"], "--shop <ID>: shop id: 1 to 19 digits"),
        (&["call", "c", "CANARY", "/p"], "<METHOD>: not one of GET, POST, PUT, DELETE"),
        (&["call", "c", "PATCH", "/p"], "<METHOD>: not one of GET, POST, PUT, DELETE"),
        (&["call", "c", "GET", "/p", "--query", "CANARY"], "--query <NAME=VALUE>: not NAME=VALUE"),
        (&["call", "c", "GET", "/p", "--shop", "1", "--account", "a"], "--shop <ID> can't be used with --account <ID>"),
        (&["call", "c", "GET", "/p", "--content-type", "t"], "missing: --body-file <FILE>"),
        (
            &["call", "c", "PUT", "/p", "--body-file", "/no/such"],
            "--body-file /no/such: there is no such file; name the file with the body",
        ),
        (&["call", "c", "PUT", "/p", "--body-file", "/"], "cannot read --body-file /: it is a folder"),
        (&["disconnect", "c", "--shop", "1", "--account", "a"], "--shop <ID> can't be used with --account <ID>"),
        (&["authorization-url", "c", "--shops", "CANARY"], "--shops <WHICH>: not one of all, exactly-one"),
        (
            &["authorization-url", "c", "--consent-as", "CANARY"],
            "the fake refused: no seller \"CANARY\"; the sellers are one-shop, several-regions, cross-border, \
             global-selling, no-shop, creator",
        ),
        (&["connect", "--shops", "all"], "missing: --app-store <CUSTOMER>"),
        (&["access-token", "c", "--min-validity", "-1"], "unknown option -1"),
        (
            &["access-token", "c", "--min-validity=-1"],
            "--min-validity <SECONDS>: -1 is not a number from 0 to 4294967295",
        ),
        (
            &["access-token", "c", "--min-validity", "4294967296"],
            "--min-validity <SECONDS>: 4294967296 is not a number from 0 to 4294967295",
        ),
        (&["webhook"], "missing: --authorization <HEX>"),
        (&["events", "--limit", "many"], "--limit <NUMBER>: not a whole number"),
        (&["events", "--after", "18446744073709551616"], "--after <POSITION>: the number is too large"),
        (&["sweep", "--concurrency", "0"], "--concurrency <NUMBER>: 0 is not a number from 1 to 100"),
        (&["sweep", "--concurrency", "101"], "--concurrency <NUMBER>: 101 is not a number from 1 to 100"),
        (&["keys"], "missing: one of init, status, add, promote, rotate, retire, erase"),
        (&["keys", "CANARY"], "unknown command"),
        (&["keys", "retire", "é"], "<ID>: host key id: 1 to 256 visible ASCII characters"),
        (&["keys", "promote", "é"], "<ID>: host key id: 1 to 256 visible ASCII characters"),
        (&["keys", "rotate", "--retire"], "missing: --single-machine"),
        (&["fake", "--port", "65536"], "--port <PORT>: 65536 is not a number from 0 to 65535"),
        (&["fake", "--now", "-1"], "unknown option -1"),
        (&["fake", "--redirect", "/cb"], "the redirect address \"/cb\" is not an absolute http or https address"),
        (&["contract"], "no database named; give ADDRESS or set TIKTOK_SHOP_CONTRACT_STORAGE"),
        (&["contract", "CANARY"], "[ADDRESS]: not sqlite:PATH, postgres://… or memory:"),
        (&["inspect"], "missing: <COMPONENT>"),
        (&["inspect", "/no/such"], "component /no/such: there is no such file; name the file of a component"),
        (&["inspect", "/dev/zero"], "component /dev/zero: not a regular file; name the file of a component"),
        (&["events", "--limit", "1", "--limit", "1"], "--limit <NUMBER> is given twice"),
        (&["events", "--limit", "1", "--all"], "--limit <NUMBER> can't be used with --all"),
        (&["events", "--actor", ""], "--actor <NAME>: empty"),
        (&["events", "--actor", "a\u{1b}[2J"], "--actor <NAME>: actor: printable characters only"),
        (&["events", "--reason", "a\nb"], "--reason <TEXT>: reason: printable characters only"),
        (&["events", "--storage", "mysql://CANARY"], "--storage <ADDRESS>: not sqlite:PATH, postgres://… or memory:"),
        (&["events", "--storage", "sqlite:"], "--storage <ADDRESS>: no path after sqlite:"),
        (&["events", "--fake", "http://192.0.2.1:80"], "--fake <URL>: not a loopback address"),
        (
            &["events", "--fake", "https://open-api.tiktokglobalshop.com"],
            "--fake <URL>: not http://127.0.0.1:PORT, http://[::1]:PORT or http://localhost:PORT",
        ),
        (&["events", "--fake", "http://CANARY:80"], "--fake <URL>: a fake runs on this machine: http://127.0.0.1:PORT"),
    ];
    for (arguments, expected) in table {
        let (status, line) = stage.error(stage.with(arguments), "");
        let line = line.strip_suffix("; see --help").unwrap_or(&line);
        assert_eq!((status, line), (Some(2), *expected), "{arguments:?}");
    }
    let missing = "configuration /no/such: there is no such file; correct --config or TIKTOK_SHOP_CONFIG";
    assert_eq!(stage.error(stage.with(&["events", "--config", "/no/such"]), ""), (Some(3), missing.to_owned()));
}

#[test]
fn a_password_in_an_argument_is_refused_and_not_repeated() {
    let stage = Stage::new();
    let commands: [&[&str]; 3] = [&["events", "--storage"], &["keys", "status", "--storage"], &["contract"]];
    // The driver decodes each part of an address, so an encoded password is a password, too.
    let addresses = [
        "postgres://user:CANARY@127.0.0.1:1/db",
        "postgres://user%3ACANARY@127.0.0.1:1/db",
        "postgres://127.0.0.1:1/db?user=u&pass%77ord=CANARY",
        "postgres://127.0.0.1:1/pass%77ord=CANARY",
    ];
    for (arguments, address) in commands.iter().flat_map(|command| addresses.map(|address| (command, address))) {
        let (status, line) = stage.error(stage.with(&[*arguments, &[address]].concat()), "");
        assert_eq!(status, Some(2), "{line}");
        let expected = "an argument must not contain a password, because other users can read it; put the address into \
                        TIKTOK_SHOP_STORAGE, for contract into TIKTOK_SHOP_CONTRACT_STORAGE, or into the configuration file";
        assert!(line.contains(expected) && !line.contains("CANARY"), "{line}");
    }
}

#[test]
fn hostile_text_is_escaped_before_it_reaches_a_terminal() {
    let stage = Stage::new();
    stage.ok("migrate", "");
    let long = "x".repeat(120_000);
    let texts =
        ["\u{1b}[2J\u{7}", "a\nb\rc", "\u{202e}drow", "\u{9b}31m", "%s%n", "'; DROP TABLE x; --", "../../etc", &long];
    for (text, command) in texts.into_iter().zip(["list-shops", "list-connections"].into_iter().cycle()) {
        let Run { status, stdout, stderr } = run(stage.with(&[command, text]), "");
        let expected = if text.len() > 256 { Some(2) } else { Some(0) };
        assert_eq!(status, expected, "{command}: {stderr}");
        let hostile = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!format!("{stdout}{stderr}").contains(hostile), "{command}: {stdout:?}{stderr:?}");
        assert!(stdout.len() + stderr.len() < 2_000, "a long value is not repeated");
    }
    for id in ["x".repeat(257), "é".repeat(129)] {
        let expected = "<CUSTOMER>: customer id: 1 to 256 bytes; see --help".to_owned();
        assert_eq!(stage.error(stage.with(&["refresh", &id]), ""), (Some(2), expected));
    }
}

#[test]
fn every_command_that_takes_text_refuses_an_argument_that_is_not_utf_8() {
    let stage = Stage::new();
    for command in help::COMMANDS.iter().filter(|command| !["inspect", "fake", "keys", "api-keys"].contains(command)) {
        let mut program = stage.command(command);
        program.arg(OsStr::from_bytes(b"--tenant=\xff"));
        let (status, line) = stage.error(program, "");
        let line = line.strip_suffix("; see --help").unwrap();
        // The commands in these two lists have no option for a tenant.
        let of_all = [
            "sweep",
            "serve",
            "check-config",
            "keys init",
            "keys status",
            "keys add",
            "keys promote",
            "keys rotate",
            "keys retire",
        ];
        let without_a_tenant = ["contract", "migrate", "sign", "verify-webhook", "completions", "man"];
        let expected = if without_a_tenant.iter().chain(&of_all).any(|other| other == command) {
            "unknown option --tenant"
        } else {
            "an argument is not UTF-8"
        };
        assert_eq!((status, line), (Some(2), expected), "{command}");
    }
}

#[test]
fn every_command_refuses_an_option_that_it_does_not_have() {
    for command in help::COMMANDS {
        let Run { status, stdout, stderr } = run(harness(&format!("{command} --no-such=CANARY")), "");
        assert_eq!((status, &*stdout), (Some(2), ""), "{command}");
        let expected = if command == "keys" { "error: unknown option --no-such" } else { "error: " };
        assert!(stderr.starts_with(expected) && stderr.lines().count() == 1 && !stderr.contains("CANARY"), "{stderr}");
    }
}

#[test]
fn numbers_and_ids_that_the_connector_checks_end_in_its_own_error() {
    let stage = Stage::new();
    stage.connect("customer-7", "one-shop");
    for (arguments, expected) in [
        ("access-token customer-7 --min-validity 3601", "invalid-request: validity-too-long: "),
        ("link-shops customer-7 42", "invalid-request: unknown-shop: "),
        ("call customer-7 GET /order/202309/orders --shop 42", "invalid-request: unknown-shop: "),
        ("call customer-7 GET order/202309/orders", "invalid-request: call-malformed: "),
        ("call customer-7 GET /order/../secret", "invalid-request: call-malformed: "),
        ("call customer-7 GET /order/202309/orders --query sign=CANARY", "invalid-request: call-malformed: "),
        ("refresh customer-7 --account nobody", "invalid-request: not-connected: "),
        ("refresh nobody", "invalid-request: not-connected: "),
        ("access-token nobody", "invalid-request: not-connected: "),
    ] {
        let (status, line) = stage.error(stage.command(arguments), "");
        assert_eq!(status, Some(13), "{arguments}: {line}");
        assert!(line.starts_with(expected) && !line.contains("CANARY"), "{arguments}: {line}");
    }
    stage.ok("refresh customer-7 --force", "");
}
