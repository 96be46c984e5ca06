//! `man`: prints the manual page of the program or of a command.

use clap::Args;
use clap_mangen::Man;

use crate::failure::Failure;
use crate::output::Report;

/// Print the manual page of the program or of a command
#[derive(Args)]
#[command(name = "man", after_help = AFTER_HELP)]
pub(crate) struct ManualPage {
    /// Command whose page is printed, for example: keys rotate
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

const AFTER_HELP: &str = "\
The page has the format of man (roff). It contains the same text as --help.

Examples:

  $ tiktok-shop-harness man keys rotate | grep '^.TH'
  .TH tiktok-shop-harness-keys-rotate 1  …

  $ tiktok-shop-harness man no-such-command
  error: unknown command; see --help

To read a page, write it to a file and run man -l FILE. To install it, write it to a folder such as
~/.local/share/man/man1, with a name such as tiktok-shop-harness-call.1.

Exit status: 0 if the page is printed; 2 if there is no such command.";

impl ManualPage {
    /// Prints the manual page. `definition` is the definition of the program's command line.
    pub(crate) fn run(self, definition: clap::Command, report: &mut Report) -> Result<(), Failure> {
        let source = format!("{} {}", definition.get_name(), definition.get_version().unwrap_or_default());
        let mut page = definition;
        // This gives each command its whole name, for example tiktok-shop-harness-keys-rotate.
        page.build();
        for word in &self.command {
            let found = page.get_subcommands().find(|command| command.get_name() == word && !command.is_hide_set());
            let unknown = || Failure::Malformed("unknown command; see --help".to_owned());
            page = found.cloned().ok_or_else(unknown)?;
        }
        let man = Man::new(page).source(source);
        let mut roff = Vec::new();
        // Writing into memory can't fail.
        man.render(&mut roff).map_err(|error| Failure::Unavailable(error.to_string()))?;
        report.raw(&roff);
        Ok(())
    }
}
