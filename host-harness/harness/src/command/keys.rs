//! `keys`: manages the keys that seal tokens and ciphers.

mod erase;
mod init;
mod retire;
mod rotate;
mod status;

use clap::{Args, Subcommand};

use self::erase::Erase;
use self::init::Init;
use self::retire::Retire;
use self::rotate::Rotate;
use self::status::Status;
use crate::failure::Failure;
use crate::output::Report;

/// Manage the keys that seal tokens and ciphers
#[derive(Args)]
#[command(arg_required_else_help = false, after_help = AFTER_HELP)]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand)]
enum KeysCommand {
    Init(Init),
    Status(Status),
    Rotate(Rotate),
    Retire(Retire),
    Erase(Erase),
}

const AFTER_HELP: &str = "\
Each tenant has a data key, which seals the tenant's stored tokens and ciphers. A host key wraps the
data keys. The host key comes from the key file, from the environment or from a key service
(docs/keys.md). Run keys init once to make the key file of a new database. No other command makes a
key file, except on the first run with the database and the key file in the data folder, and with a
fake. To change the host key, run keys rotate, and then keys retire with the name of the old host
key.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness keys status
  host key               data keys  records
  …

  $ tiktok-shop-harness keys rotate --wait 0
  …

Exit status: 0 if the command succeeded; 1 if a key is in use, or if a record can't be opened; 16
if the database fails or a key is missing; for others see tiktok-shop-harness --help.";

impl Keys {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        match self.command {
            KeysCommand::Init(command) => command.run(report),
            KeysCommand::Status(command) => command.run(report).await,
            KeysCommand::Rotate(command) => command.run(report).await,
            KeysCommand::Retire(command) => command.run(report).await,
            KeysCommand::Erase(command) => command.run(report).await,
        }
    }
}
