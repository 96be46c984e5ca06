//! `migrate`: creates the tables of a database, or changes those of an earlier release.

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::storage::ConnectionStorage as _;
use tiktok_shop_sql_storage::{OpenMode, SchemaChange, SqlStorage};

use crate::failure::Failure;
use crate::output::{GOOD, Report};
use crate::settings::DatabaseArgs;

/// Create the tables of a database, or change those of an earlier release
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Migrate {
    #[command(flatten)]
    settings: DatabaseArgs,
}

const AFTER_HELP: &str = "\
Run this command before you start hosts of a new release. Hosts of the earlier release that are
running continue to renew and save tokens. docs/upgrading.md names what they can't do then. It is
safe to run it several times, also at the same time. An SQLite file is created in a folder that
exists. A PostgreSQL database must exist, and the user needs the right to create tables in it.

Example, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness migrate
  …schema version 12…

Exit status: 0 if the database has the tables of this release; 2 if the address is malformed; 3 if
the database can't be opened or changed, or a newer release has changed it.";

#[derive(Serialize)]
struct Line {
    /// The change that the command made: `none`, `created` or `migrated`.
    change: &'static str,
    /// The schema version before a migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
    /// The schema version now.
    schema: i64,
    /// The number of rows that a host of release 0.1 wrote and that no host has written since. Only their ciphers are
    /// sealed.
    unsealed_rows: u64,
}

impl Migrate {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let (address, access) = self.settings.find_for_migration()?;
        let Some(storage) = address.open_sql(OpenMode::Migrate, access).await? else {
            return Err(Failure::Malformed("memory: has no tables; name a database with --storage".to_owned()));
        };
        let schema = SqlStorage::SCHEMA_VERSION;
        let (change, from, text) = match storage.schema_change() {
            SchemaChange::None => ("none", None, format!("the database already has schema version {schema}")),
            SchemaChange::Created => ("created", None, format!("created the tables, schema version {schema}")),
            SchemaChange::Migrated { from } => (
                "migrated",
                Some(from),
                format!("changed the tables from schema version {from} to schema version {schema}"),
            ),
        };
        let unsealed_rows = storage.unsealed_rows().await;
        storage.close().await;
        let unsealed_rows = unsealed_rows?;
        if report.is_json() {
            report.json(&Line { change, from, schema, unsealed_rows });
        } else {
            report.styled(GOOD, &text);
            if unsealed_rows > 0 {
                let text = if unsealed_rows == 1 {
                    "1 row of release 0.1 is not sealed yet: the next refresh of its connection seals it".to_owned()
                } else {
                    format!(
                        "{unsealed_rows} rows of release 0.1 are not sealed yet: a refresh of a connection seals its row"
                    )
                };
                report.line(&text);
            }
        }
        Ok(())
    }
}
