//! Measures the speed and the cost of the shipped component in the reference host, compared with native code and with
//! clients in Node.js and Python. `cargo xtask bench` compiles the host with the profile of production.

mod database;
mod empty;
mod figure;
mod figures;
mod load;
mod machine;
mod native;
mod own_engine;
mod page;
mod platform;
mod plot;
mod process;
mod round_trips;
mod rounds;
mod server;
mod service;
mod soak;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

/// Each call makes many small allocations, and this allocator is made for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the connector in the reference host, and prints a table. Does not judge the figures: the exit status is 0
/// even if a bar is not met. It is 1 if a figure could not be measured.
///
/// Everything is measured in turn (A B, B A, …) in one run, against a server on loopback that answers from memory, in a
/// process of its own. A figure is the median of the rounds.
#[derive(Debug, Parser)]
#[command(name = "tiktok-shop-bench")]
struct Arguments {
    /// File of the connector's component. `cargo xtask dist` builds this file.
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    figures: Figures,
}

#[derive(Debug, Args)]
struct Figures {
    /// Measure only these figures. `scale_*` means all keys that begin with `scale_`.
    #[arg(long, value_name = "KEY", num_args = 1.., value_delimiter = ',')]
    only: Vec<String>,
    /// Number of times that each thing is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Number of stored connections of the figures `scale_*`.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..))]
    scale: u64,
    /// Address of a PostgreSQL server. The bench creates schemas on this server and drops them. Without a server, the
    /// figures of PostgreSQL are not measured.
    #[arg(long, value_name = "ADDRESS", env = "TIKTOK_SHOP_TEST_POSTGRES", hide_env_values = true)]
    postgres: Option<String>,
    /// File of the program tiktok-shop-harness, which runs the service. Without it, the memory of the idle service is
    /// not measured.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    #[command(flatten)]
    packages: figures::Packages,
    /// Print one JSON object in place of the table.
    #[arg(long)]
    json: bool,
    /// Also write the figures and the plots into `docs/performance.md` and `docs/performance/`.
    #[arg(long, conflicts_with = "only")]
    write_page: bool,
}

/// Count what each operation asks of the storage, and how many round trips this takes with PostgreSQL.
#[derive(Debug, Args)]
struct RoundTrips {
    /// Address of a PostgreSQL server. Without a server, only the accesses are counted.
    #[arg(long, value_name = "ADDRESS", env = "TIKTOK_SHOP_TEST_POSTGRES", hide_env_values = true)]
    postgres: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    RoundTrips(RoundTrips),
    Soak(soak::Soak),
    #[command(hide = true)]
    Serve(server::Serve),
    #[command(hide = true)]
    RunService(service::RunService),
    #[command(hide = true)]
    Load(load::Load),
    #[command(hide = true)]
    InFlight(figures::InFlight),
    #[command(hide = true)]
    FirstCall(figures::FirstCall),
    #[command(hide = true)]
    SoakFake(soak::SoakFake),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            // If standard error is closed, the error cannot be shown.
            let _closed = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Arguments { component, command, figures }: Arguments) -> Result<ExitCode> {
    let component = || component.clone().context("the file of the component is missing: pass --component FILE");
    let (text, passed) = match command {
        None => figures.run(component()?)?,
        Some(Command::RoundTrips(RoundTrips { postgres })) => {
            let (component, folder) = (component()?, tempfile::tempdir()?);
            let (rounds, scale, program, packages) = (1, 100, None, figures::Packages::default());
            let context = figures::Context { component, rounds, scale, postgres, program, packages, folder };
            (round_trips::table(&figures::count_round_trips(&context)?), true)
        }
        Some(Command::Soak(soak)) => {
            let soak::Report { text, passed } = soak.run(&component()?)?;
            (text, passed)
        }
        Some(Command::Serve(serve)) => (serve.run().map(|()| String::new())?, true),
        Some(Command::RunService(service)) => (service.run().map(|()| String::new())?, true),
        Some(Command::Load(load)) => (load.run()?, true),
        Some(Command::InFlight(in_flight)) => (in_flight.run()?, true),
        Some(Command::FirstCall(first_call)) => (first_call.run()?, true),
        Some(Command::SoakFake(fake)) => (fake.run().map(|()| String::new())?, true),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Figures {
    /// Returns the report, and whether every figure could be measured.
    fn run(self, component: PathBuf) -> Result<(String, bool)> {
        let keys = figure::chosen(&self.only).map_err(anyhow::Error::msg)?;
        let machine = machine::Machine::read();
        let (rounds, scale, folder) = (self.rounds, self.scale, tempfile::tempdir()?);
        let (postgres, program, packages) = (self.postgres, self.program, self.packages);
        let context = figures::Context { component, rounds, scale, postgres, program, packages, folder };
        process::allow_many_files()?;
        let mut results = figures::run(&context, &keys)?;
        if self.write_page {
            results.round_trips = figures::count_round_trips(&context)?;
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("docs");
            let mut command = "cargo xtask bench --write-page".to_owned();
            if rounds != 5 {
                command += &format!(" --rounds {rounds}");
            }
            if scale != 1_000_000 {
                command += &format!(" --scale {scale}");
            }
            page::write(&docs, &results, &machine, &command)?;
        }
        let text = if self.json { page::json(&results, &machine) } else { page::text(&results, &machine) };
        Ok((text, results.complete))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn claps_own_checks_accept_the_command_line() {
        super::Arguments::command().debug_assert();
    }
}
