//! Runs the examples of the help texts and of `docs/signatures.md` exactly as they are written.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::stage::Stage;
use crate::{PROGRAM, command, harness, run};

const DOCS: &str = include_str!("../../../../docs/signatures.md");

/// A command, and the text that it prints to standard output and standard error.
#[derive(Debug, PartialEq)]
struct Example {
    command: String,
    output: String,
}

/// Reads the examples of a transcript. An example begins with a line `$ command` and ends before the next such line.
/// The command continues on the next line while a quote is open, and after a line that ends with `|` or `\`.
fn examples(transcript: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for line in transcript.lines() {
        let continues = |example: &&mut Example| {
            let command = example.command.trim_end();
            command.ends_with(['|', '\\']) || command.matches('\'').count() % 2 == 1
        };
        if let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example { command: format!("{command}\n"), output: String::new() });
        } else if let Some(example) = examples.last_mut().filter(continues) {
            example.command += &format!("{line}\n");
        } else if let Some(example) = examples.last_mut() {
            example.output += &format!("{line}\n");
        }
    }
    examples
}

/// Runs the examples in the root folder of the repository, and checks their output. The variable `PATH` contains the
/// folder of the program. If a stage is given, the other settings come from the stage.
fn assert_examples(examples: &[Example], stage: Option<&Stage>) {
    let folder = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
    for Example { command: text, output } in examples {
        let mut shell = command("sh");
        if let Some(stage) = stage {
            stage.furnish(&mut shell);
        }
        shell.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        shell.args(["-c", &format!("PATH='{folder}':$PATH\nexec 2>&1\n{text}")]);
        let mut printed = run(shell, "").stdout;
        // TikTok Shop's answers have no newline at their end.
        if !printed.ends_with('\n') {
            printed.push('\n');
        }
        assert!(fits(output, &printed), "{text}expected:\n{output}\nprinted:\n{printed}");
    }
}

/// Returns true if the printed text matches an example. In the example, `…` stands for any text, and a line that
/// consists of `…` stands for any lines.
fn fits(shown: &str, printed: &str) -> bool {
    let mut parts = shown.trim_end_matches("…\n").split('…');
    let Some(mut left) = parts.next().and_then(|first| printed.strip_prefix(first)) else { return false };
    for part in parts {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.is_empty() || shown.ends_with("…\n")
}

/// Returns the examples in the help text of a command. An example is indented by two spaces and ends at an empty line.
fn examples_of(arguments: &str) -> Vec<Example> {
    let help = run(harness(&format!("{arguments} --help")), "").stdout;
    let blocks = help.split("\n\n").filter(|block| block.starts_with("  $ "));
    blocks.flat_map(|block| examples(&block.replace("\n  ", "\n").replacen("  ", "", 1))).collect()
}

#[test]
fn an_example_is_read_up_to_the_end_of_its_command_and_output() {
    let read = examples("before\n$ echo 'a\nb' |\n cat\na\nb\n$ true\n");
    let expected = [("echo 'a\nb' |\n cat\n", "a\nb\n"), ("true\n", "")];
    let expected = expected.map(|(command, output)| Example { command: command.into(), output: output.into() });
    assert_eq!(read, expected);
}

#[test]
fn an_ellipsis_stands_for_any_text() {
    for (shown, printed) in
        [("a\n", "a\n"), ("a…c\n", "abbc\n"), ("a\n…\n", "a\nb\nc\n"), ("a\n…\nd\n", "a\nb\nc\nd\n")]
    {
        assert!(fits(shown, printed), "{shown}{printed}");
    }
    for (shown, printed) in
        [("a\n", "a\nb\n"), ("a…c\n", "abb\n"), ("a\n…\n", "b\n"), ("a\n…\nd\n", "a\nb\n"), ("", "a\n")]
    {
        assert!(!fits(shown, printed), "{shown}{printed}");
    }
}

#[test]
fn the_examples_of_commands_without_a_fake_are_true() {
    for (arguments, count) in [
        ("", 1),
        ("sign", 2),
        ("verify-webhook", 1),
        ("contract", 1),
        ("inspect", 2),
        ("completions", 2),
        ("man", 2),
        ("api-keys", 1),
        ("api-keys create", 1),
        ("webhook-secret", 1),
    ] {
        let mut examples = examples_of(arguments);
        assert_eq!(examples.len(), count, "{arguments}");
        let component = xtask::component().unwrap();
        for example in &mut examples {
            example.command =
                example.command.replace("target/dist/tiktok_shop_connector.wasm", component.to_str().unwrap());
        }
        assert_examples(&examples, None);
    }
}

/// The commands whose examples need a fake. In this order, each command finds the connections and keys that its help
/// text describes.
const WITH_A_FAKE: [&str; 24] = [
    "migrate",
    "keys erase",
    "sweep",
    "check-config",
    "authorization-url",
    "connect",
    "import",
    "list-shops",
    "list-connections",
    "link-shops",
    "access-token",
    "export",
    "call",
    "webhook",
    "refresh",
    "events",
    "keys status",
    "keys add",
    "keys promote",
    "keys",
    "keys rotate",
    "keys retire",
    "disconnect",
    "probe",
];

#[test]
fn the_examples_of_commands_with_a_fake_are_true() {
    let stage = Stage::new();
    // A host key is made before the database. Otherwise the first command that needs one would make it and print a note.
    assert_examples(&examples_of("keys init"), Some(&stage));
    stage.ok("migrate", "");
    for arguments in WITH_A_FAKE {
        let examples = examples_of(arguments);
        assert!(!examples.is_empty(), "{arguments}");
        assert_examples(&examples, Some(&stage));
    }
}

/// Checks only the first line that the fake prints, because the fake runs until it is stopped. Uses a free port,
/// because port 4010 may be in use.
#[test]
fn the_example_of_the_command_fake_is_true() {
    let [Example { command: text, output }] = &*examples_of("fake") else { panic!() };
    assert_eq!(text, "tiktok-shop-harness fake --port 4010 &\n");
    let mut fake = harness("fake --port 0").stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(fake.stdout.take().unwrap()).read_line(&mut first).unwrap();
    fake.kill().unwrap();
    fake.wait().unwrap();
    assert!(fits(&output.replace("4010", "…"), &first), "{first}");
}

#[test]
fn the_examples_of_the_documentation_are_true() {
    let blocks = DOCS.split("```console\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let blocks: Vec<_> = blocks.flat_map(examples).collect();
    assert_eq!(blocks.len(), 5);
    assert_examples(&blocks, None);
}
