//! The service, against what it replaces: a program in Node.js that signs its calls itself, and an HTTP server in
//! Node.js that signs and forwards the requests of others.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::yardsticks::{Script, TOKEN, version};
use super::{Context, Outcome};
use crate::figure::{Measured, number};
use crate::load::Load;
use crate::platform::{APP, TENANT, customer, unique_number};
use crate::process::{Background, output, program};
use crate::rounds::in_turn;
use crate::server::{CIPHER, ORDERS, SHOP, Server};
use crate::service::Service;

pub(super) const CALLS: [&str; 2] = ["service_call_vs_node", "service_calls_per_second_vs_node"];
pub(super) const MEMORY: [&str; 1] = ["service_idle_memory_vs_node"];
pub(super) const WEBHOOKS: [&str; 1] = ["service_webhooks_per_second"];

/// The number of clients that call at the same time.
const CLIENTS: u32 = 64;
/// How long the requests of one round are sent, in seconds.
const SECONDS: u64 = 4;
/// An HTTP server in Node.js that does nothing.
const EMPTY_SERVER: &str = "\
require('node:http').createServer((_, answer) => answer.end('{}')).listen(0, '127.0.0.1', function () {
  console.log(JSON.stringify({ listen: `127.0.0.1:${this.address().port}` }));
});";

/// The line that a server prints when it listens.
#[derive(Deserialize)]
struct Listening {
    listen: SocketAddr,
}

pub(super) fn measure_calls(context: &Context) -> Result<Outcome> {
    let script = match Script::node(context.folder()) {
        Ok(script) => script,
        Err(error) => return Ok(CALLS.map(|key| Measured::none(key, format!("{error:#}"))).to_vec().into()),
    };
    let server = Server::start()?;
    let service = Service::start(context, &server)?;
    let (_node, Listening { listen }) = Background::start(node_server(context, &server)?)?;
    let target = format!("/v1/customers/{}/shops/{SHOP}/tiktok{ORDERS}?page_size=20", customer(0)?);
    let through = |clients, seconds| {
        Load::calls(service.address, target.clone(), service.key.clone()).clients(clients, seconds).send()
    };
    let [ours, theirs] = in_turn(context.rounds, [&mut || Ok(through(1, 2)?.p50_us), &mut || script.run(&server)])?;
    let detail = format!("{} µs ÷ {} µs, {}", number(ours.median()), number(theirs.median()), script.version);
    let [call, rate] = CALLS;
    let call = Measured::of_rounds(call, &ours.over(&theirs), detail);

    let forwarded = || {
        let target = format!("{ORDERS}?page_size=20");
        Load::calls(listen, target, String::new()).clients(CLIENTS, SECONDS).send()
    };
    let [ours, theirs] = in_turn(
        context.rounds,
        [&mut || Ok(through(CLIENTS, SECONDS)?.per_second()), &mut || Ok(forwarded()?.per_second())],
    )?;
    let detail = format!(
        "{} ÷ {} calls a second, {CLIENTS} clients; the service then has {} KiB resident",
        number(ours.median()),
        number(theirs.median()),
        number(service.process.memory_kib()? as f64)
    );
    Ok(vec![call, Measured::of_rounds(rate, &ours.over(&theirs), detail)].into())
}

/// Returns a command that starts the HTTP server in Node.js that signs and forwards.
fn node_server(context: &Context, server: &Server) -> Result<Command> {
    let file = context.folder().join("forward.mjs");
    std::fs::write(&file, include_str!("../../yardsticks/forward.mjs"))?;
    let (app_key, app_secret) = APP;
    let mut command = program("node");
    command.arg(file).args([&format!("http://{}", server.address()), app_key, app_secret, TOKEN, CIPHER]);
    Ok(command)
}

pub(super) fn measure_memory(context: &Context) -> Result<Outcome> {
    let [key] = MEMORY;
    let Some(service) = &context.program else {
        return Ok(vec![Measured::none(key, "pass --program FILE, as cargo xtask bench does")].into());
    };
    let Ok(node) = version("node".as_ref(), "--version") else {
        return Ok(vec![Measured::none(key, "no Node.js on this machine")].into());
    };
    let command = |arguments: &[&str]| {
        let mut command = program(service);
        let (app_key, app_secret) = APP;
        // The settings of the user are not those of the measured service.
        command.env_clear().env("HOME", context.folder()).env("TIKTOK_SHOP_COMPONENT", &context.component);
        command.env("TIKTOK_SHOP_APP_KEY", app_key).env("TIKTOK_SHOP_APP_SECRET", app_secret);
        command.args(arguments).stderr(Stdio::null());
        command
    };
    for prepare in [["keys", "init"].as_slice(), &["migrate"]] {
        output(command(prepare)).with_context(|| prepare.join(" "))?;
    }
    let empty = || {
        let mut command = program("node");
        command.args(["--eval", EMPTY_SERVER]);
        command
    };
    let mut ours = || idle_kib(command(&["serve", "--json", "--listen", "127.0.0.1:0"]), "/readyz");
    let mut theirs = || idle_kib(empty(), "/");
    let [ours, theirs] = in_turn(context.rounds, [&mut ours, &mut theirs])?;
    let detail = format!("{} KiB ÷ {} KiB resident, Node.js {node}", number(ours.median()), number(theirs.median()));
    Ok(vec![Measured::of_rounds(key, &ours.over(&theirs), detail)].into())
}

/// Starts a server, and lets it answer one request. Returns its resident memory, in KiB.
fn idle_kib(command: Command, path: &str) -> Result<f64> {
    let (process, Listening { listen }) = Background::start(command)?;
    let mut stream = TcpStream::connect(listen)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: service.example\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
    Ok(process.memory_kib()? as f64)
}

pub(super) fn measure_webhooks(context: &Context) -> Result<Outcome> {
    let server = Server::start()?;
    let service = Service::start(context, &server)?;
    let target = format!("/webhooks/{TENANT}");
    let mut accepted = || {
        // No webhook has a number that an earlier one had.
        let load = Load::webhooks(service.address, target.clone(), unique_number());
        let answered = load.clients(CLIENTS, SECONDS).send()?;
        Ok(answered.per_second())
    };
    let [rate] = in_turn(context.rounds, [&mut accepted])?;
    let [key] = WEBHOOKS;
    Ok(vec![Measured::of_rounds(key, &rate, format!("{CLIENTS} connections"))].into())
}
