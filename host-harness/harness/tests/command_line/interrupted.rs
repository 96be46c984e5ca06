//! Ctrl-C while TikTok Shop has not answered yet.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::stage::Stage;
use crate::{PROGRAM, command, run};

const NOTE: &str = "note: finishing what is under way; Ctrl-C again ends it at once\n";

/// Passes everything on to the fake, but holds answers to refreshes back until it is told to let one go.
struct Holding {
    address: SocketAddr,
    /// A refresh has arrived.
    arrived: Receiver<()>,
    release: Sender<()>,
}

impl Holding {
    fn before(fake: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((arrival, arrived), (release, released)) = (channel(), channel());
        let released = Arc::new(std::sync::Mutex::new(released));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (arrival, released) = (arrival.clone(), Arc::clone(&released));
                thread::spawn(move || pass(client, fake, &arrival, &released));
            }
        });
        Self { address, arrived, release }
    }
}

/// One connection: requests are small, and come whole.
fn pass(client: TcpStream, fake: SocketAddr, arrival: &Sender<()>, released: &std::sync::Mutex<Receiver<()>>) {
    let server = TcpStream::connect(fake).unwrap();
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _gone = std::io::copy(&mut from_server, &mut to_client);
        let _gone = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server, mut buffer) = (client, server, vec![0; 1 << 16]);
    while let Ok(length @ 1..) = from_client.read(&mut buffer) {
        if buffer.starts_with(b"GET /api/v2/token/refresh") {
            let _nobody_waits = arrival.send(());
            let _test_is_over = released.lock().unwrap().recv();
        }
        if to_server.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _gone = to_server.shutdown(Shutdown::Both);
}

/// A sweep whose only connection waits for TikTok Shop.
fn sweeping(stage: &Stage, holding: &Holding) -> Child {
    stage.connect("customer-7", "one-shop");
    stage.connect("customer-7", "several-regions");
    stage.advance(7 * 86_400 - 3_600);
    let mut program = command(PROGRAM);
    stage.furnish(&mut program);
    program.env("TIKTOK_SHOP_FAKE", format!("http://{}", holding.address));
    program.args(["sweep", "--concurrency", "1"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = program.spawn().unwrap();
    holding.arrived.recv().unwrap();
    child
}

fn interrupt(child: &Child) {
    let mut kill = command("kill");
    kill.args(["-INT", &child.id().to_string()]);
    assert_eq!(run(kill, "").status, Some(0));
}

/// The line that follows a first Ctrl-C.
fn told(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_sweep_finishes_what_it_has_begun_and_begins_nothing_else() {
    let stage = Stage::new();
    let holding = Holding::before(stage.fake.address());
    let mut sweep = sweeping(&stage, &holding);
    interrupt(&sweep);
    assert_eq!(told(&mut sweep), NOTE);
    holding.release.send(()).unwrap();
    let ended = sweep.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), "1 refreshed, 0 failed, notices: 0, stopped\n");
    assert_eq!(stage.ok("sweep", ""), "1 refreshed, 0 failed, notices: 0\n", "the other one");
}

#[test]
fn a_second_ctrl_c_ends_it_at_once_and_loses_nothing() {
    let stage = Stage::new();
    let holding = Holding::before(stage.fake.address());
    let mut sweep = sweeping(&stage, &holding);
    interrupt(&sweep);
    assert_eq!(told(&mut sweep), NOTE);
    interrupt(&sweep);
    let ended = sweep.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout), (Some(130), Vec::new()));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "error: ended at once\n");
    let connections = stage.json("list-connections customer-7", "");
    assert!(connections.iter().all(|connection| connection["status"] == "active"), "{connections:?}");
}

#[test]
fn a_fake_ends_without_a_word() {
    let stage = Stage::new();
    let mut fake = stage.command("fake").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(fake.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    assert!(told.any(|line| line == "Stop it with Ctrl-C."));
    interrupt(&fake);
    let ended = fake.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}
