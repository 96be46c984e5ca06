//! Reads the beginning of a response's body before the guest gets the response. Most bodies are short. The guest then
//! reads the whole body without waiting.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, WasiBody};

/// How much of a body is read before the guest gets the response: 64 KiB, and the rest of the last piece.
const BEGINNING_BYTES: usize = 64 << 10;

/// A body whose beginning has arrived.
pub(super) struct BegunBody {
    beginning: Bytes,
    rest: Rest,
}

/// What follows the beginning of a body.
enum Rest {
    End,
    /// The body broke off.
    Error(Error),
    More(WasiBody),
}

impl BegunBody {
    /// Reads the beginning of a body. If the body fails, the returned body has the error.
    pub(super) async fn begin(mut body: WasiBody) -> Self {
        let mut pieces = BytesMut::new();
        let rest = loop {
            if pieces.len() >= BEGINNING_BYTES {
                break Rest::More(body);
            }
            match body.frame().await {
                None => break Rest::End,
                Some(Err(error)) => break Rest::Error(error),
                Some(Ok(frame)) => {
                    let Ok(piece) = frame.into_data() else { continue };
                    if pieces.is_empty() && body.is_end_stream() {
                        return Self { beginning: piece, rest: Rest::End };
                    }
                    pieces.extend_from_slice(&piece);
                }
            }
        };
        Self { beginning: pieces.freeze(), rest }
    }
}

impl Body for BegunBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if !self.beginning.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.beginning)))));
        }
        match std::mem::replace(&mut self.rest, Rest::End) {
            Rest::End => Poll::Ready(None),
            Rest::Error(error) => Poll::Ready(Some(Err(error))),
            Rest::More(mut body) => {
                let frame = Pin::new(&mut body).poll_frame(cx);
                self.rest = Rest::More(body);
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.beginning.is_empty() && matches!(self.rest, Rest::End)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Rest::End => SizeHint::with_exact(self.beginning.len() as u64),
            Rest::Error(_) | Rest::More(_) => SizeHint::default(),
        }
    }
}
