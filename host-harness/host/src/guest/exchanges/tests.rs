use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use tokio::sync::oneshot;

use super::*;

fn answer() -> Response<WasiBody> {
    Response::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync())
}

#[tokio::test]
async fn a_request_makes_progress_while_the_call_waits_for_anything() {
    let exchanges = Exchanges::default();
    let (sent, is_sent) = oneshot::channel();
    let mut pending = None;
    let call = async {
        pending = Some(exchanges.begin(Box::pin(async move {
            tokio::task::yield_now().await;
            sent.send(()).unwrap();
            Ok(answer())
        })));
        is_sent.await.unwrap();
    };
    exchanges.run(call).await;
    assert!(matches!(pending.unwrap().take(), Poll::Ready(Some(Ok(_)))));
}

#[tokio::test]
async fn an_answer_is_there_after_the_call_has_waited_for_it_and_can_be_taken_once() {
    let exchanges = Exchanges::default();
    let call = async {
        for _ in 0..2 {
            let mut pending = exchanges.begin(Box::pin(async {
                tokio::task::yield_now().await;
                Err(Error::ConnectionRefused)
            }));
            assert!(pending.take().is_pending());
            pending.ready().await;
            assert!(matches!(pending.take(), Poll::Ready(Some(Err(Error::ConnectionRefused)))));
            assert!(matches!(pending.take(), Poll::Ready(None)));
        }
    };
    exchanges.run(call).await;
}

#[tokio::test]
async fn a_request_ends_as_soon_as_its_response_is_dropped() {
    let exchanges = Exchanges::default();
    let (alive, is_alive) = oneshot::channel::<()>();
    let call = async {
        let pending = exchanges.begin(Box::pin(async move {
            let _alive = is_alive;
            std::future::pending().await
        }));
        tokio::task::yield_now().await;
        assert!(!alive.is_closed());
        drop(pending);
        assert!(alive.is_closed());
        tokio::task::yield_now().await;
        assert!(lock(&exchanges.0).is_empty());
    };
    exchanges.run(call).await;
}
