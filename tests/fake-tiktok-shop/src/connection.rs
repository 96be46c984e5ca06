//! The connections of the listener: HTTP as it should be, until a fault takes one over.

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

/// What a fault plays on the connection of its request.
pub(crate) struct Playback {
    pub bytes: Vec<u8>,
    pub then: Ending,
}

/// The way from a request to its connection. Every request carries it as an extension.
#[derive(Clone)]
pub(crate) struct TakeOver(mpsc::Sender<Playback>);

impl TakeOver {
    /// Hands the connection over. The request gets no other answer, so this never returns.
    pub(crate) async fn play<T>(&self, playback: Playback) -> T {
        // If nobody listens any more, the connection is gone already.
        let _ = self.0.send(playback).await;
        pending().await
    }
}

/// Accepts until the other end of `running` is gone; connections finish what they are at. `open` is how many there are.
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
                let (conversation, open) = (converse(stream, router.clone(), running.clone()), open.clone());
                tokio::spawn(async move {
                    conversation.await;
                    open.send_modify(|open| *open -= 1);
                });
            }
            _ = running.changed() => return,
        }
    }
}

async fn converse(stream: TcpStream, router: Router, mut running: watch::Receiver<()>) {
    // Without it small answers may wait for the client's next acknowledgement; failing to set it only costs time.
    let _ = stream.set_nodelay(true);
    let (sender, mut taken_over) = mpsc::channel(1);
    let take_over = TakeOver(sender);
    let service = service_fn(move |mut request: Request<_>| {
        request.extensions_mut().insert(take_over.clone());
        router.clone().call(request)
    });
    // `Date` is the fake's time, or there is none: never the system's.
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

/// Whoever has read enough hangs up, also while this is still writing.
async fn play(mut stream: TcpStream, Playback { bytes, then }: Playback) {
    if stream.write_all(&bytes).await.is_err() {
        return;
    }
    match then {
        Ending::Close => {
            let _ = stream.shutdown().await;
            until_closed(stream).await;
        }
        // The operating system resets what is dropped like this.
        Ending::Reset => drop(stream.set_zero_linger()),
        Ending::Stall => until_closed(stream).await,
        Ending::Endless(text) => while stream.write_all(text.as_bytes()).await.is_ok() {},
    }
}

async fn until_closed(mut stream: TcpStream) {
    let mut unheard = [0; 1024];
    while stream.read(&mut unheard).await.is_ok_and(|length| length > 0) {}
}
