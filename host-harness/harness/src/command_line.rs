//! The command line: the options that every command has, the program's own help, and the parser of the arguments.

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::command::Command;
use crate::failure::{Failure, STATUSES};
use crate::output::OutputFormat;
use crate::settings::check_variables;
use crate::usage_error;

/// The TikTok Shop connector on the command line, for operators and testers.
#[derive(Parser)]
#[command(name = "tiktok-shop-harness", version, subcommand_required = false, arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Print one JSON object per line, also for errors
    #[arg(long, global = true)]
    json: bool,

    /// Write the host library's log, without secrets, to standard error
    #[arg(long, global = true)]
    verbose: bool,
}

const EXAMPLES: &str = "\
Without arguments, the program shows how to try it and where its files are. For the examples of a
command, run tiktok-shop-harness COMMAND --help.

Example, with the sample request of TikTok's page sign-your-api-request:

  $ echo '{\"app_key\": \"29a39d\", \"app_secret\": \"e59af819cc\", \"timestamp\": 1623812664,
          \"path\": \"/authorization/202309/shops\"}' | tiktok-shop-harness sign
  b596b73e0cc6de07ac26f036364178ab16b0a907af13d43f0a0cd2345f582dc8

docs/command-line.md shows all help texts on one page. docs/signatures.md explains signatures.

Exit status:";

const COLOUR: &str = "Colours appear only on a terminal. NO_COLOR=1 turns them off.";

/// The width of the help, in columns.
const HELP_COLUMNS: usize = 100;

/// The command to run, with the options that every command has.
pub(crate) struct Invocation {
    /// The command. `None` if the program was started without a command.
    pub(crate) command: Option<Command>,
    pub(crate) format: OutputFormat,
    /// Whether the host library's log is written to standard error.
    pub(crate) verbose: bool,
}

/// Why there is no command to run.
pub(crate) enum NoInvocation {
    /// The arguments ask for the help, and the program has already printed it.
    Printed,
    /// The arguments ask for the version.
    Version { format: OutputFormat },
    /// The arguments are wrong.
    Invalid { failure: Box<Failure>, format: OutputFormat },
}

/// Parses the arguments of this process. Prints the help if the arguments ask for it.
pub(crate) fn parse() -> Result<Invocation, NoInvocation> {
    let parsed = definition().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    let asks_for_help_or_version =
        |error: &clap::Error| matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let shows_how_to_begin = |arguments: &Arguments| arguments.command.is_none();
    // A wrong variable is reported before a wrong argument, because clap would report a wrong variable as an error of
    // an option that the user did not give.
    let needs_variables = match &parsed {
        Ok(arguments) => !shows_how_to_begin(arguments),
        Err(error) => !asks_for_help_or_version(error),
    };
    if needs_variables && let Err(failure) = check_variables() {
        return Err(NoInvocation::Invalid { failure: Box::new(failure), format: format_of_arguments() });
    }
    match parsed {
        Ok(Arguments { command, json, verbose }) => {
            // `sign` and `verify-webhook` have an option `--json` of their own. Even with this option, they print
            // errors as text.
            let text_errors = matches!(command, Some(Command::Sign(_) | Command::VerifyWebhook(_)));
            let format = if json && !text_errors { OutputFormat::Json } else { OutputFormat::Text };
            Ok(Invocation { command, format, verbose })
        }
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            Err(NoInvocation::Version { format: format_of_arguments() })
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            // If printing fails, nobody reads the output any more, so the error is ignored.
            let _ = error.print();
            Err(NoInvocation::Printed)
        }
        Err(error) => Err(NoInvocation::Invalid {
            failure: Box::new(usage_error::failure(&error)),
            format: format_of_arguments(),
        }),
    }
}

/// Returns the output format that the unparsed arguments ask for. Errors in arguments and variables need this format,
/// because they are found before the command is known.
fn format_of_arguments() -> OutputFormat {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json { OutputFormat::Json } else { OutputFormat::Text }
}

/// Returns the definition of the command line. Its help lists the exit statuses.
pub(crate) fn definition() -> clap::Command {
    let statuses: String = STATUSES.iter().map(|(status, meaning)| wrapped(&status.to_string(), meaning)).collect();
    Arguments::command().after_help(format!("{EXAMPLES}\n{statuses}\n{COLOUR}"))
}

/// Returns a label and a text, in lines of at most 100 columns. Every line after the first one is indented by six
/// columns.
fn wrapped(label: &str, text: &str) -> String {
    let mut lines = vec![format!("{label:>4} ")];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= HELP_COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("      {word}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn claps_own_checks_accept_the_command_line() {
        super::definition().debug_assert();
    }
}
