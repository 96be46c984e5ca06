//! The network connections of the fake. Each connection serves correct HTTP until a fault takes the connection over.

use std::future::pending;

use axum::Router;
use axum::extract::Request;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower_service::Service as _;

use crate::fault::Ending;

/// The bytes that a fault sends on the connection of its request, and how the fault ends the connection.
pub(crate) struct Playback {
    pub bytes: Vec<u8>,
    pub then: Ending,
}

/// Hands the connection of a request over to a fault. Every request carries a `TakeOver` as an extension.
#[derive(Clone)]
pub(crate) struct TakeOver(mpsc::Sender<Playback>);

impl TakeOver {
    /// Hands the connection over to a fault. The request gets no other answer, so this function never returns.
    pub(crate) async fn play<T>(&self, playback: Playback) -> T {
        // Sending fails only if the connection is closed already.
        let _ = self.0.send(playback).await;
        pending().await
    }
}

/// Accepts connections until the sender of `running` is dropped. Open connections then finish their current request.
/// `open` counts the open connections.
pub(crate) async fn serve(
    mut listener: TcpListener,
    router: Router,
    mut running: watch::Receiver<()>,
    open: watch::Sender<usize>,
) {
    loop {
        tokio::select! {
            (stream, _) = Listener::accept(&mut listener) => {
                open.send_modify(|open| *open += 1);
                let (connection, open) = (serve_connection(stream, router.clone(), running.clone()), open.clone());
                tokio::spawn(async move {
                    connection.await;
                    open.send_modify(|open| *open -= 1);
                });
            }
            _ = running.changed() => return,
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router, mut running: watch::Receiver<()>) {
    // Without TCP_NODELAY a small answer may wait for the client's next acknowledgement. A failure here only costs
    // time.
    let _ = stream.set_nodelay(true);
    let (sender, mut taken_over) = mpsc::channel(1);
    let take_over = TakeOver(sender);
    let service = service_fn(move |mut request: Request<_>| {
        request.extensions_mut().insert(take_over.clone());
        router.clone().call(request)
    });
    // A `Date` header always shows the fake's time. Hyper's own header is off, because it would show the system's time.
    let mut connection = http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let playback = loop {
        tokio::select! {
            _ended = &mut connection => return,
            Some(playback) = taken_over.recv() => break playback,
            _ = running.changed(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let stream = connection.into_parts().io.into_inner();
    tokio::select! {
        () = play(stream, playback) => {}
        _ = running.changed() => {}
    }
}

/// Sends the bytes of a fault and ends the connection as the fault says. The client may close the connection at any
/// moment, even while this function is writing.
async fn play(mut stream: TcpStream, Playback { bytes, then }: Playback) {
    if stream.write_all(&bytes).await.is_err() {
        return;
    }
    match then {
        Ending::Close => {
            let _ = stream.shutdown().await;
            read_until_closed(stream).await;
        }
        // With a linger time of zero, the operating system resets the connection when the stream is dropped.
        Ending::Reset => drop(stream.set_zero_linger()),
        Ending::Stall => read_until_closed(stream).await,
        Ending::Endless(text) => while stream.write_all(text.as_bytes()).await.is_ok() {},
    }
}

async fn read_until_closed(mut stream: TcpStream) {
    let mut discarded = [0; 1024];
    while stream.read(&mut discarded).await.is_ok_and(|length| length > 0) {}
}
