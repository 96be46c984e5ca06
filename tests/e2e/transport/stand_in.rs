//! One of TikTok's hosts, played from a script at the level of bytes: what the fake, which speaks correct HTTP, cannot do.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What happens to every request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Nobody listens at the port.
    Refuse,
    /// The request is read whole, and the connection reset.
    Reset,
    /// The request is read whole, these bytes are written, and the connection closed.
    Send(String),
}

impl Reply {
    /// A complete answer.
    pub(super) fn answer(status: &str, content_type: &str, body: &str) -> Self {
        Self::cut_off(status, content_type, body, body.len())
    }

    /// An answer whose head announces this length, whatever comes.
    pub(super) fn cut_off(status: &str, content_type: &str, body: &str, announced: usize) -> Self {
        Self::Send(format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {announced}\r\nconnection: close\r\n\r\n\
             {body}"
        ))
    }
}

/// A server on loopback that gives every request the same reply.
pub(super) struct StandIn {
    address: SocketAddr,
    role: Role,
}

enum Role {
    /// Bound and not listening: connections are refused, and nobody else gets the port meanwhile.
    Absent {
        _port: TcpSocket,
    },
    Serving {
        stop: oneshot::Sender<()>,
        serving: JoinHandle<Vec<Request>>,
    },
}

impl StandIn {
    /// Starts it, on the runtime of the test.
    pub(super) async fn start(reply: Reply) -> Self {
        if matches!(reply, Reply::Refuse) {
            let port = TcpSocket::new_v4().unwrap();
            port.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
            return Self { address: port.local_addr().unwrap(), role: Role::Absent { _port: port } };
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        Self { address, role: Role::Serving { stop, serving: tokio::spawn(serve(listener, reply, stopped)) } }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it. What it was sent, connection by connection.
    pub(super) async fn requests(self) -> Vec<Request> {
        match self.role {
            Role::Absent { .. } => Vec::new(),
            Role::Serving { stop, serving } => {
                stop.send(()).unwrap();
                serving.await.unwrap()
            }
        }
    }
}

/// All that came over one connection.
#[derive(Debug)]
pub(super) struct Request {
    /// Method, target and version.
    pub(super) line: String,
    /// In the order of their names.
    pub(super) headers: Vec<(String, String)>,
    /// What followed the head.
    pub(super) rest: String,
}

impl Request {
    fn parse(bytes: Vec<u8>) -> Self {
        let text = String::from_utf8(bytes).unwrap();
        let (head, rest) = text.split_once(HEAD_END).unwrap();
        let mut lines = head.split("\r\n").map(str::to_owned);
        let line = lines.next().unwrap();
        let mut headers: Vec<_> = lines
            .map(|header| header.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
            .collect();
        headers.sort();
        Self { line, headers, rest: rest.to_owned() }
    }
}

const HEAD_END: &str = "\r\n\r\n";

/// One connection after the other, those that wait to be accepted before the end.
async fn serve(listener: TcpListener, reply: Reply, mut stopped: oneshot::Receiver<()>) -> Vec<Request> {
    let mut requests = Vec::new();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return requests,
        };
        requests.push(converse(accepted.unwrap().0, &reply).await);
    }
}

async fn converse(mut connection: TcpStream, reply: &Reply) -> Request {
    let mut received = Vec::new();
    while !received.ends_with(HEAD_END.as_bytes()) {
        let read = connection.read_buf(&mut received).await.unwrap();
        assert_ne!(read, 0, "a request ends with an empty line");
    }
    if let Reply::Send(bytes) = reply {
        // Whoever has read enough hangs up, also while this is still writing.
        if connection.write_all(bytes.as_bytes()).await.is_ok() && connection.shutdown().await.is_ok() {
            let _hung_up = connection.read_to_end(&mut received).await;
        }
    } else {
        connection.set_zero_linger().unwrap();
    }
    Request::parse(received)
}
