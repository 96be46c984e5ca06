//! Tests of deadlines that pass while a refresh waits for TikTok. The error tells whether TikTok may have acted. If
//! TikTok may have acted, the caller must wait 120 s, until the claim has lapsed. (A claim is a note in the token
//! record that one caller sends the refresh token now.) tokio's clock is paused, so that deadlines take no real time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tiktok_shop_host::CallError;
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{DAY, Stage, customer_id, tenant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::hostile_guest::NoResolver;

/// The behaviour of a server after it has read a request.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The server sends nothing.
    Silence,
    /// The server sends this text and nothing more.
    Stall(&'static str),
    /// The server sends this text, then one byte every nine seconds.
    Drip(&'static str),
}

async fn start_server(then: Then) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, then));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, then: Then) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let (Then::Stall(begin) | Then::Drip(begin)) = then else { return std::future::pending().await };
    stream.write_all(begin.as_bytes()).await?;
    while let Then::Drip(_) = then {
        tokio::time::sleep(Duration::from_secs(9)).await;
        stream.write_all(b" ").await?;
    }
    std::future::pending().await
}

#[tokio::test]
async fn the_error_after_a_deadline_tells_whether_tiktok_may_have_acted() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n";
    let may_have_acted = Action::RetryAfter(Duration::from_secs(120));
    let not_acted = Action::RetryAfter(Duration::from_secs(5));
    for (then, seconds, action, code) in [
        (None, 5, not_acted, "tiktok-unreachable"),
        (Some(Then::Silence), 15, may_have_acted, "answer-incomplete"),
        (Some(Then::Stall(HEAD)), 10, may_have_acted, "answer-incomplete"),
        (Some(Then::Drip(HEAD)), 25, may_have_acted, "answer-incomplete"),
    ] {
        let stage = Stage::in_memory();
        stage.connect("alice", "one-shop").await.unwrap();
        stage.advance(8 * DAY);
        let policy = match then {
            // The stage's storage belongs to a fake, so the host needs a stand-in for one of the two servers.
            None => {
                let policy = EgressPolicy::production().resolver(Arc::new(NoResolver));
                policy.stand_in(Authority::Api, start_server(Then::Silence).await).unwrap()
            }
            Some(then) => EgressPolicy::production().stand_in(Authority::Auth, start_server(then).await).unwrap(),
        };
        let host = stage.host_builder().egress(policy).build().unwrap();
        tokio::time::pause();
        let started = Instant::now();
        let outcome = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await;
        let elapsed = started.elapsed().as_secs();
        tokio::time::resume();
        let Err(CallError::Connector(error)) = outcome else { panic!("{then:?}: {outcome:?}") };
        assert_eq!((error.action(), error.failure().code.as_str()), (action, code), "{then:?}");
        assert_eq!(elapsed, seconds, "{then:?}");
    }
}
