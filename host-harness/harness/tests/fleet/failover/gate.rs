//! A proxy between the processes and TikTok Shop. The test decides how many answers to refreshes may pass. All other
//! requests and answers pass at once.

use std::net::SocketAddr;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::PATIENCE;
use crate::REFRESH;

const BUFFER: usize = 64 << 10;

pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    /// The refresh tokens that were sent, in the order of their requests.
    sent: watch::Sender<Vec<String>>,
    open: watch::Sender<Open>,
}

/// Which answers may pass. A refresh is named by its place in the order of the requests.
struct Open {
    /// Later answers wait.
    until: usize,
    /// These answers wait, too.
    but: Range<usize>,
}

impl Open {
    fn lets_pass(&self, place: usize) -> bool {
        place < self.until && !self.but.contains(&place)
    }
}

impl Gate {
    /// Opens a way to the fake. At first, no answer to a refresh may pass.
    pub(crate) async fn to(fake: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared =
            Shared { sent: watch::Sender::new(Vec::new()), open: watch::Sender::new(Open { until: 0, but: 0..0 }) };
        let gate = Self { address: listener.local_addr().unwrap(), shared: shared.clone() };
        tokio::spawn(serve(listener, fake, shared));
        gate
    }

    /// Lets the answers to the first `number` refreshes pass. Later answers wait.
    pub(crate) fn pass(&self, number: usize) {
        self.shared.open.send_replace(Open { until: number, but: 0..0 });
    }

    /// Lets all answers pass but these.
    pub(crate) fn pass_all_but(&self, but: Range<usize>) {
        self.shared.open.send_replace(Open { until: usize::MAX, but });
    }

    pub(crate) fn pass_all(&self) {
        self.pass(usize::MAX);
    }

    /// Waits until this number of refreshes was sent.
    pub(crate) async fn sent(&self, number: usize) {
        let mut sent = self.shared.sent.subscribe();
        let waiting = timeout(PATIENCE, sent.wait_for(|sent| sent.len() >= number)).await.is_ok();
        assert!(waiting, "not within {PATIENCE:?}: {number} refreshes; {} were sent", self.tokens().len());
    }

    /// Returns the refresh tokens that were sent, in the order of their requests.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.shared.sent.borrow().clone()
    }
}

impl Shared {
    /// If a request begins here, and it is a refresh, returns its place.
    fn place_of(&self, request: &[u8]) -> Option<usize> {
        let begin = format!("GET {REFRESH}?");
        let rest = std::str::from_utf8(request).ok()?.strip_prefix(&begin)?;
        let query = rest.split_whitespace().next()?;
        let token = query.split('&').find_map(|pair| pair.strip_prefix("refresh_token=")).unwrap();
        let mut place = 0;
        self.sent.send_modify(|sent| {
            place = sent.len();
            sent.push(token.to_owned());
        });
        Some(place)
    }
}

async fn serve(listener: TcpListener, fake: SocketAddr, shared: Shared) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let shared = shared.clone();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(fake).await else { return };
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            // The place of the refresh that waits for an answer on this connection.
            let asking = watch::Sender::new(None);
            let asked = asking.subscribe();
            let requests = pass_requests(from_client, to_server, &shared, asking);
            tokio::join!(requests, pass_answers(from_server, to_client, &shared, asked));
        });
    }
}

async fn pass_requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    asking: watch::Sender<Option<usize>>,
) {
    let mut buffer = vec![0; BUFFER];
    // The program writes the whole head of a request at once, and has one request at a time on a connection.
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        asking.send_replace(shared.place_of(&buffer[..read]));
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _already_closed = to.shutdown().await;
}

async fn pass_answers(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    asked: watch::Receiver<Option<usize>>,
) {
    let mut buffer = vec![0; BUFFER];
    let mut open = shared.open.subscribe();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let place = *asked.borrow();
        // An error means that the test is over.
        let _ = open.wait_for(|open| place.is_none_or(|place| open.lets_pass(place))).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _already_closed = to.shutdown().await;
}
