//! Tests Ctrl-C while a sweep waits for an answer of TikTok Shop, and while a fake runs.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::stage::Stage;
use crate::{PROGRAM, command, run};

const NOTE: &str = "note: waiting for running calls to finish; press Ctrl-C again to stop at once\n";

/// A proxy between the program and the fake. It forwards all requests and answers, but it holds back each refresh
/// request until the test releases the request.
pub(crate) struct RefreshGate {
    pub(crate) address: SocketAddr,
    /// Receives a message when a refresh request has arrived.
    pub(crate) arrived: Receiver<()>,
    /// Each message releases one refresh request.
    pub(crate) release: Sender<()>,
}

impl RefreshGate {
    pub(crate) fn before(fake: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((arrival, arrived), (release, released)) = (channel(), channel());
        let released = Arc::new(std::sync::Mutex::new(released));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (arrival, released) = (arrival.clone(), Arc::clone(&released));
                thread::spawn(move || forward(client, fake, &arrival, &released));
            }
        });
        Self { address, arrived, release }
    }
}

/// Forwards one connection. Requests are small, so each of them arrives in one read.
fn forward(client: TcpStream, fake: SocketAddr, arrival: &Sender<()>, released: &std::sync::Mutex<Receiver<()>>) {
    let server = TcpStream::connect(fake).unwrap();
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _closed = std::io::copy(&mut from_server, &mut to_client);
        let _closed = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server, mut buffer) = (client, server, vec![0; 1 << 16]);
    while let Ok(length @ 1..) = from_client.read(&mut buffer) {
        if buffer.starts_with(b"GET /api/v2/token/refresh") {
            let _no_receiver = arrival.send(());
            let _test_ended = released.lock().unwrap().recv();
        }
        if to_server.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _closed = to_server.shutdown(Shutdown::Both);
}

/// Starts a sweep that refreshes two connections, one after the other. Returns when the first refresh waits at the
/// gate.
fn start_sweep(stage: &Stage, gate: &RefreshGate) -> Child {
    stage.connect("customer-7", "one-shop");
    stage.connect("customer-7", "several-regions");
    stage.advance(7 * 86_400 - 3_600);
    let mut program = command(PROGRAM);
    stage.furnish(&mut program);
    program.env("TIKTOK_SHOP_FAKE", format!("http://{}", gate.address));
    program.args(["sweep", "--concurrency", "1"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = program.spawn().unwrap();
    gate.arrived.recv().unwrap();
    child
}

fn interrupt(child: &Child) {
    let mut kill = command("kill");
    kill.args(["-INT", &child.id().to_string()]);
    assert_eq!(run(kill, "").status, Some(0));
}

/// Reads the line that the program prints after the first Ctrl-C.
fn read_note(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn after_ctrl_c_a_sweep_finishes_its_running_refresh_and_starts_no_other() {
    let stage = Stage::new();
    let gate = RefreshGate::before(stage.fake.address());
    let mut sweep = start_sweep(&stage, &gate);
    interrupt(&sweep);
    assert_eq!(read_note(&mut sweep), NOTE);
    gate.release.send(()).unwrap();
    let ended = sweep.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "1 refreshed, 0 failed, notices: 0, stopped\n");
    assert_eq!(stage.ok("sweep", ""), "1 refreshed, 0 failed, notices: 0\n", "the other connection is still due");
}

#[test]
fn a_second_ctrl_c_stops_a_sweep_at_once_and_loses_nothing() {
    let stage = Stage::new();
    let gate = RefreshGate::before(stage.fake.address());
    let mut sweep = start_sweep(&stage, &gate);
    interrupt(&sweep);
    assert_eq!(read_note(&mut sweep), NOTE);
    interrupt(&sweep);
    let ended = sweep.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout), (Some(130), Vec::new()));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "error: stopped at once\n");
    let connections = stage.json("list-connections customer-7", "");
    assert!(connections.iter().all(|connection| connection["status"] == "active"), "{connections:?}");
}

#[test]
fn ctrl_c_ends_a_fake_without_a_note() {
    let stage = Stage::new();
    let mut fake = stage.command("fake").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(fake.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "Stop it with Ctrl-C."));
    interrupt(&fake);
    let ended = fake.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}
