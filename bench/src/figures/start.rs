//! How long a program takes from its start to its first result: a host that finds its compiled component lists the
//! shops of an SQLite database, against an empty Node.js program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tiktok_shop_host::seal::KeyFile;
use tiktok_shop_sql_storage::{OpenMode, SqlStorage};
use tokio::time::Instant;

use super::yardsticks::version;
use super::{Context, Outcome};
use crate::figure::{Measured, number};
use crate::platform::{Parts, Platform, customer};
use crate::process::{output, own, program};
use crate::rounds::{in_turn, microseconds, whole_machine};
use crate::server::Server;

pub(super) const KEYS: [&str; 1] = ["first_call_vs_node_start"];

/// The number of rounds. A start takes little time, and varies much.
const ROUNDS: u32 = 21;

/// List the shops of a customer, as the first call of a process. The figure `first_call_vs_node_start` starts this
/// command.
#[derive(Args, Debug)]
pub(crate) struct FirstCall {
    #[arg(long)]
    component: PathBuf,
    /// The folder with the database, the host keys and the compiled component.
    #[arg(long)]
    folder: PathBuf,
}

impl FirstCall {
    pub(crate) fn run(self) -> Result<String> {
        whole_machine()?.block_on(async {
            // No request is sent, so no server listens at this address.
            let platform = open(&self.component, &self.folder, ([127, 0, 0, 1], 9).into()).await?;
            platform.list_shops(&customer(0)?).await?;
            Ok("one shop".to_owned())
        })
    }
}

async fn open(component: &Path, folder: &Path, server: std::net::SocketAddr) -> Result<Platform> {
    let storage = SqlStorage::sqlite(folder.join("first-call.sqlite"), OpenMode::Create).await?;
    let mut parts = Parts::new(component, server)?.cached_in(&folder.join("compiled")).storing_in(Arc::new(storage));
    parts.keys = Arc::new(KeyFile::open_or_create(folder.join("first-call-keys"))?);
    parts.build()
}

pub(super) fn measure(context: &Context) -> Result<Outcome> {
    let [key] = KEYS;
    let Ok(node) = version("node".as_ref(), "--version") else {
        return Ok(vec![Measured::none(key, "no Node.js on this machine")].into());
    };
    let server = Server::start()?;
    whole_machine()?.block_on(async {
        let platform = open(&context.component, context.folder(), server.address()).await?;
        platform.connect(&customer(0)?).await
    })?;
    let mut first_call = || {
        let mut command = own("first-call")?;
        command.arg("--component").arg(&context.component).arg("--folder").arg(context.folder());
        let began = Instant::now();
        ensure!(output(command)? == b"one shop", "the first call listed no shop");
        Ok(microseconds(began.elapsed()) / 1000.0)
    };
    let mut empty = || {
        let mut command = program("node");
        command.args(["--eval", ""]);
        let began = Instant::now();
        output(command).context("Node.js did not start")?;
        Ok(microseconds(began.elapsed()) / 1000.0)
    };
    let [ours, theirs] = in_turn(ROUNDS, [&mut first_call, &mut empty])?;
    let detail = format!("{} ms ÷ {} ms, Node.js {node}", number(ours.median()), number(theirs.median()));
    Ok(vec![Measured::of_rounds(key, &ours.over(&theirs), detail)].into())
}
