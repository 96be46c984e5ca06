//! The fake TikTok Shop of the soak. It runs in another process, so that its memory and its files do not count. The
//! soak orders faults with lines on the fake's standard input.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use fake_tiktok_shop::{Decision, FakeTikTokShop, Fault, Options, Seller};
use serde::{Deserialize, Serialize};

use super::RENEWAL;
use crate::process;
use crate::rounds::runtime;

/// The state of every consent.
pub(super) const STATE: &str = "soak-state-0123456789abcdef";

/// Run a fake TikTok Shop until standard input ends. The soak starts this command.
///
/// The line `fault PATH` lets the next request for this path meet a fault. The line `left` asks how many of these
/// faults were not met yet. Each line is answered with a line.
#[derive(Args, Debug)]
pub(crate) struct SoakFake {
    /// Number of sellers who have consented.
    #[arg(long)]
    sellers: usize,
}

/// The first line that the fake prints.
#[derive(Serialize, Deserialize)]
struct Announcement {
    address: SocketAddr,
    app_key: String,
    app_secret: String,
    /// The query of the callback of each consent.
    queries: Vec<String>,
}

/// Faults after which TikTok Shop certainly did not act, or did not answer. Each of them fails one search.
const OF_SEARCHES: [&str; 4] = ["HTTP 500, JSON", "HTTP 502, HTML", "HTTP 503, HTML", "empty body"];
/// A fault after which the refresh token is as good as before. After an unknown outcome, the connector would wait for
/// 120 s before it renews the tokens again.
const OF_RENEWALS: &str = "HTTP 429, no Retry-After";

impl SoakFake {
    pub(crate) fn run(self) -> Result<()> {
        let runtime = runtime(1)?;
        let _guard = runtime.enter();
        let pattern = fake_tiktok_shop::fixtures::sellers().into_iter().next().context("the fake has no seller")?;
        let sellers: Vec<_> = (0..self.sellers).map(|number| numbered(&pattern, number)).collect();
        let ids: Vec<_> = sellers.iter().map(|seller| seller.id.clone()).collect();
        let fake = FakeTikTokShop::start(Options { sellers, ..Options::default() })?;
        let control = fake.control();
        let app = control.apps().into_iter().next().context("the fake has no app")?;
        let consent = |id: &String| control.consent(&app.service_id, id, Some(STATE), Decision::Allow);
        let queries = ids.iter().map(consent).collect::<Result<_, _>>()?;
        let announced = Announcement {
            address: fake.address(),
            app_key: app.app_key.clone(),
            app_secret: app.app_secret.clone(),
            queries,
        };
        let mut out = io::stdout();
        writeln!(out, "{}", serde_json::to_string(&announced)?)?;
        let mut names = OF_SEARCHES.into_iter().cycle();
        for line in io::stdin().lock().lines() {
            match line?.split_once(' ') {
                Some(("fault", path)) => {
                    let name = if path == RENEWAL { OF_RENEWALS } else { names.next().unwrap_or(OF_RENEWALS) };
                    control.fault_next(path, name, Fault::named(name).context("no such fault")?);
                    writeln!(out, "{name}")?;
                }
                _ => writeln!(out, "{}", control.faults().len())?,
            }
        }
        Ok(())
    }
}

/// Returns a seller like this one, with an id and a shop of its own.
fn numbered(pattern: &Seller, number: usize) -> Seller {
    let mut seller = Seller { id: format!("seller-{number}"), ..pattern.clone() };
    for shop in &mut seller.shops {
        shop.id = format!("74900000000000{number:05}");
        shop.cipher = Some(format!("ROW_soak-cipher-of-shop-{number}"));
    }
    seller
}

/// A running fake. It ends when this value is dropped.
pub(super) struct Fake {
    child: Child,
    announced: Announcement,
    pipes: Mutex<(Option<ChildStdin>, BufReader<ChildStdout>)>,
}

impl Fake {
    pub(super) fn start(sellers: usize) -> Result<Self> {
        let mut command = process::own("soak-fake")?;
        command.args(["--sellers", &sellers.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("no standard output")?);
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let announced = serde_json::from_str(&line).context("the fake did not start")?;
        Ok(Self { child, announced, pipes: Mutex::new((input, output)) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.announced.address
    }

    /// Returns the key and the secret of the app.
    pub(super) fn app(&self) -> (&str, &str) {
        (&self.announced.app_key, &self.announced.app_secret)
    }

    /// Returns the query of the callback of each seller's consent.
    pub(super) fn queries(&self) -> &[String] {
        &self.announced.queries
    }

    /// Lets the next request for this path meet a fault.
    pub(super) fn fault_next(&self, path: &str) -> Result<()> {
        self.ask(&format!("fault {path}")).map(drop)
    }

    /// Returns the number of ordered faults that no request has met.
    pub(super) fn faults_left(&self) -> Result<u64> {
        Ok(self.ask("left")?.parse()?)
    }

    fn ask(&self, line: &str) -> Result<String> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = &mut *pipes;
        writeln!(input.as_mut().context("the fake has ended")?, "{line}")?;
        let mut answer = String::new();
        if output.read_line(&mut answer)? == 0 {
            bail!("the fake has ended");
        }
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // The fake ends when its standard input ends.
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner).0 = None;
        let _ended = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_in_the_catalogue() {
        for name in OF_SEARCHES.into_iter().chain([OF_RENEWALS]) {
            assert!(Fault::named(name).is_some(), "{name}");
        }
    }
}
