//! Counts what the services do: each request and each answer that passes the proxy, and each piece of data between the
//! services and TikTok Shop. Tests wait for a number of these steps, not for a time.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The number of steps so far.
#[derive(Clone)]
pub(crate) struct Activity(watch::Sender<u64>);

impl Activity {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Counts one step.
    pub(crate) fn note(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Waits until this number of further steps was counted.
    pub(crate) async fn further(&self, steps: u64) {
        let mut counted = self.0.subscribe();
        let goal = *counted.borrow() + steps;
        // The sender is in `self`, so it is not gone.
        let _ = counted.wait_for(|count| *count >= goal).await;
    }
}

/// The way from the services to TikTok Shop.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    /// Whether answers stay on the way.
    holds_answers: watch::Sender<bool>,
}

impl Way {
    /// Passes connections on to `target`, and counts what passes.
    pub(crate) async fn to(target: SocketAddr, activity: Activity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Self { address: listener.local_addr().unwrap(), holds_answers: watch::Sender::new(false) };
        tokio::spawn(serve(listener, target, activity, way.holds_answers.subscribe()));
        way
    }

    /// Lets answers wait on the way.
    pub(crate) fn hold_answers(&self) {
        self.holds_answers.send_replace(true);
    }

    pub(crate) fn release_answers(&self) {
        self.holds_answers.send_replace(false);
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, activity: Activity, holds: watch::Receiver<bool>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (activity, holds) = (activity.clone(), holds.clone());
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            // Without this, each small piece of data would wait for an acknowledgement.
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            let never = watch::Sender::new(false).subscribe();
            let requests = pass(from_client, to_server, &activity, never);
            tokio::join!(requests, pass(from_server, to_client, &activity, holds));
        });
    }
}

/// Copies until one side ends. A replica that was killed ends its side.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    activity: &Activity,
    mut holds: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        activity.note();
        // An error means that nothing holds the data any more.
        let _ = holds.wait_for(|holds| !holds).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _already_closed = to.shutdown().await;
}
