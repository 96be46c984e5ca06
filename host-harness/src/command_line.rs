//! The commands. Each stands in a file of its own, reads what it is given and returns a [`output::Report`]; [`output`] alone
//! writes.

mod input;
mod output;
mod sign;
mod verify_webhook;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The reference host of the TikTok Shop connector on the command line.
#[derive(Parser)]
#[command(name = "tiktok-shop-harness", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sign(sign::Sign),
    VerifyWebhook(verify_webhook::VerifyWebhook),
}

const AFTER_HELP: &str = "\
Example, the sample request of TikTok's page sign-your-api-request:

  $ echo '{\"app_key\": \"29a39d\", \"app_secret\": \"e59af819cc\", \"timestamp\": 1623812664,
          \"path\": \"/authorization/202309/shops\"}' | tiktok-shop-harness sign
  b596b73e0cc6de07ac26f036364178ab16b0a907af13d43f0a0cd2345f582dc8

Each command's --help has more examples; docs/signatures.md has the rules.

Exit status:
  0  done; verify-webhook: every webhook is valid
  1  verify-webhook: at least one webhook is invalid
  2  the input or an argument is malformed, or the output cannot be written

NO_COLOR=1 turns colour off; there is none unless the output is a terminal.";

pub(crate) fn run() -> ExitCode {
    let command = Arguments::parse().command;
    output::write(input::read(io::stdin().lock()).and_then(|text| match command {
        Command::Sign(sign) => sign.run(&text),
        Command::VerifyWebhook(verify_webhook) => verify_webhook.run(&text),
    }))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
