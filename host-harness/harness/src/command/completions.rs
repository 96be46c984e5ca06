//! `completions`: prints a script with which a shell completes the program's commands and options.

use clap::Args;
use clap_complete::Shell;

use crate::output::Report;

/// Print a script that completes commands and options in a shell
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Completions {
    /// Shell: bash, elvish, fish, powershell or zsh
    #[arg(hide_possible_values = true)]
    shell: Shell,
}

const AFTER_HELP: &str = "\
The script belongs to the release that has printed it. Print it again after an update.

Examples:

  $ tiktok-shop-harness completions bash | head -n 1
  _tiktok__shop__harness() {

  $ tiktok-shop-harness completions fish | head -n 1
  # Print an optspec for argparse …

For bash, write the script to ~/.local/share/bash-completion/completions/tiktok-shop-harness, and
for fish to ~/.config/fish/completions/tiktok-shop-harness.fish. For zsh, write it to a file with
the name _tiktok-shop-harness in a folder of $fpath.

Exit status: 0 if the script is printed; 2 if the shell is unknown.";

impl Completions {
    /// Prints the script. `definition` is the definition of the program's command line.
    pub(crate) fn run(&self, mut definition: clap::Command, report: &mut Report) {
        let name = definition.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition, name, &mut script);
        report.raw(&script);
    }
}
