//! The examples of the helps and of `docs/signatures.md` are run as they stand there.
#![cfg(unix)]

use std::path::Path;

use crate::{PROGRAM, Run, command, harness, run};

const DOCS: &str = include_str!("../../../docs/signatures.md");

/// A command and what it prints on both streams.
#[derive(Debug, PartialEq)]
struct Example {
    command: String,
    output: String,
}

/// Reads `$ command` and the lines after it, up to the next command. A command goes on while a quote is open, and after
/// `|`.
fn examples(transcript: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for line in transcript.lines() {
        let goes_on = |example: &&mut Example| {
            let command = example.command.trim_end();
            command.ends_with('|') || command.matches('\'').count() % 2 == 1
        };
        if let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example { command: format!("{command}\n"), output: String::new() });
        } else if let Some(example) = examples.last_mut().filter(goes_on) {
            example.command += &format!("{line}\n");
        } else if let Some(example) = examples.last_mut() {
            example.output += &format!("{line}\n");
        }
    }
    examples
}

/// Runs them at the root of the repository, with the program in the path.
fn hold(examples: &[Example]) {
    let folder = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
    for Example { command: text, output } in examples {
        let mut shell = command("sh");
        shell.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        shell.args(["-c", &format!("PATH='{folder}':$PATH\nexec 2>&1\n{text}")]);
        assert_eq!(&run(shell, "").stdout, output, "{text}");
    }
}

#[test]
fn an_example_is_read_up_to_the_end_of_its_command_and_output() {
    let read = examples("before\n$ echo 'a\nb' |\n cat\na\nb\n$ true\n");
    let expected = [("echo 'a\nb' |\n cat\n", "a\nb\n"), ("true\n", "")];
    let expected = expected.map(|(command, output)| Example { command: command.into(), output: output.into() });
    assert_eq!(read, expected);
}

#[test]
fn the_examples_of_every_help_hold() {
    for (arguments, count) in [("--help", 1), ("sign --help", 2), ("verify-webhook --help", 1)] {
        let Run { stdout, .. } = run(harness(arguments), "");
        // An example is indented by two; the block ends at an empty line.
        let blocks = stdout.split("\n\n").filter(|block| block.starts_with("  $ "));
        let blocks: Vec<_> =
            blocks.flat_map(|block| examples(&block.replace("\n  ", "\n").replacen("  ", "", 1))).collect();
        assert_eq!(blocks.len(), count, "{arguments}");
        hold(&blocks);
    }
}

#[test]
fn the_examples_of_the_documentation_hold() {
    let blocks = DOCS.split("```console\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let blocks: Vec<_> = blocks.flat_map(examples).collect();
    assert_eq!(blocks.len(), 5);
    hold(&blocks);
}
