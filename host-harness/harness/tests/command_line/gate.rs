//! A gate between the program and the fake. It holds back requests until the test releases them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::stage::Stage;
use crate::{PROGRAM, command, run};

/// The request that exchanges the code of a consent for tokens.
pub(crate) const CONNECT: &str = "GET /api/v2/token/get";
/// The request that exchanges a refresh token for new tokens.
pub(crate) const REFRESH: &str = "GET /api/v2/token/refresh";

/// A proxy between the program and the fake. It forwards all requests and answers, but it holds back each request that
/// begins with a certain text until the test releases the request.
pub(crate) struct Gate {
    address: SocketAddr,
    /// Receives one message for each request that arrives and is held back.
    arrived: Receiver<()>,
    /// Each message releases one request.
    release: Sender<()>,
}

impl Gate {
    /// Starts a gate before the stage's fake. The gate holds back each request that begins with `held`: a method and
    /// the beginning of a path.
    pub(crate) fn before(stage: &Stage, held: &'static str) -> Self {
        let (fake, listener) = (stage.fake.address(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let ((arrival, arrived), (release, released)) = (channel(), channel());
        let released = Arc::new(Mutex::new(released));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (arrival, released) = (arrival.clone(), Arc::clone(&released));
                thread::spawn(move || forward(client, fake, held, &arrival, &released));
            }
        });
        Self { address, arrived, release }
    }

    /// Returns a command that reaches the fake through this gate. `starter` is a program that starts the command, for
    /// example `nohup`, and the arguments of this program.
    pub(crate) fn command(&self, stage: &Stage, starter: &[&str], arguments: &str) -> Command {
        let mut words = starter.iter().copied().chain([PROGRAM]).chain(arguments.split_whitespace());
        let mut program = command(words.next().unwrap());
        program.args(words);
        self.command_of(stage, program)
    }

    /// Makes a program reach the fake through this gate. The program's output goes into pipes, and the program has no
    /// input.
    pub(crate) fn command_of(&self, stage: &Stage, mut program: Command) -> Command {
        stage.furnish(&mut program);
        program.env("TIKTOK_SHOP_FAKE", format!("http://{}", self.address));
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        program
    }

    /// Waits until the gate holds back a request.
    pub(crate) fn wait_for_request(&self) {
        self.arrived.recv().unwrap();
    }

    /// Releases one request that the gate holds back.
    pub(crate) fn release(&self) {
        self.release.send(()).unwrap();
    }
}

/// Forwards one connection. Requests are small, so each of them arrives in one read.
fn forward(client: TcpStream, fake: SocketAddr, held: &str, arrival: &Sender<()>, released: &Mutex<Receiver<()>>) {
    let server = TcpStream::connect(fake).unwrap();
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _closed = std::io::copy(&mut from_server, &mut to_client);
        let _closed = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server, mut buffer) = (client, server, vec![0; 1 << 16]);
    while let Ok(length @ 1..) = from_client.read(&mut buffer) {
        if buffer.starts_with(held.as_bytes()) {
            let _no_receiver = arrival.send(());
            let _test_ended = released.lock().unwrap().recv();
        }
        if to_server.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _closed = to_server.shutdown(Shutdown::Both);
}

/// Sends a signal to a process. `signal` is its name without `SIG`.
pub(crate) fn send(signal: &str, process: &Child) {
    let mut kill = command("kill");
    kill.args(["-s", signal, &process.id().to_string()]);
    assert_eq!(run(kill, "").status, Some(0));
}
