//! Tests that the right network host serves each path, and that strange requests do not break the server.

use std::io::Write as _;
use std::pin::pin;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{API_HOST, SHOPS, TOKEN_HOST, World, send, send_raw};

const TOKEN_PATH: &str = "/api/v2/token/get";

#[tokio::test]
async fn a_production_host_serves_only_its_own_paths() {
    let world = World::new();
    for target in [SHOPS, "/open/authorize", "/", "/_control", "/callback"] {
        let reply = send(world.address(), "GET", TOKEN_HOST, target, &[], "").await;
        assert_eq!((reply.status, reply.body.as_str()), (404, "404 page not found"), "{target}");
    }
    for target in [TOKEN_PATH, "/open/authorize", "/", "/_control", "/callback"] {
        let reply = send(world.address(), "GET", API_HOST, target, &[], "").await;
        assert_eq!(reply.verdict(), (404, 36_009_009), "{target}");
    }
    for target in [TOKEN_PATH, SHOPS, "/", "/_control"] {
        let reply = send(world.address(), "GET", "services.tiktokshop.com", target, &[], "").await;
        assert_eq!(reply.status, 404, "{target}");
    }
}

#[tokio::test]
async fn on_loopback_the_path_selects_the_host() {
    let world = World::new();
    assert_eq!(world.local("GET", TOKEN_PATH, "").await.verdict(), (200, 36_009_004));
    assert_eq!(world.local("POST", TOKEN_PATH, "").await.body, "404 page not found");
    assert_eq!(world.local("GET", SHOPS, "").await.verdict(), (400, 36_009_004));
    assert_eq!(world.local("GET", "/nowhere", "").await.verdict(), (404, 36_009_009));
    assert_eq!(world.local("GET", "/", "").await.status, 200);
}

#[tokio::test]
async fn letter_case_and_port_of_a_host_name_are_ignored() {
    let world = World::new();
    for host in ["AUTH.TikTok-Shops.com", "auth.tiktok-shops.com:443"] {
        assert_eq!(send(world.address(), "GET", host, "/", &[], "").await.body, "404 page not found", "{host}");
    }
    for host in ["[::1]:80", "LOCALHOST"] {
        assert_eq!(send(world.address(), "GET", host, "/", &[], "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn requests_to_other_hosts_are_refused() {
    let world = World::new();
    for host in ["evil.example", "auth.tiktok-shops.com.evil.example", "auth.tiktok-shops.com.", "a b"] {
        assert_eq!(send(world.address(), "GET", host, "/_control", &[], "").await.status, 421, "{host}");
    }
    assert_eq!(world.control.requests(), []);
}

#[tokio::test]
async fn every_answer_carries_the_fakes_time() {
    let world = World::new();
    for host in [TOKEN_HOST, API_HOST, "services.tiktokshop.com", "localhost", "evil.example"] {
        for (now, date) in [(1_767_225_600, "Thu, 01 Jan 2026 00:00:00 GMT"), (5, "Thu, 01 Jan 1970 00:00:05 GMT")] {
            world.control.set_now(now);
            for target in [TOKEN_PATH, SHOPS, "/open/authorize", "/_control/clock", "/nowhere"] {
                let reply = send(world.address(), "GET", host, target, &[], "").await;
                assert_eq!(reply.header("date"), Some(date), "{host} {target}");
            }
        }
    }
    // The answer to a request that cannot be parsed has no `Date` header, so it does not show the system's time.
    let unreadable = send_raw(world.address(), b"GET / HTTP/1.1\r\nno colon\r\n\r\n").await;
    assert_eq!((unreadable.status, unreadable.header("date")), (400, None));
}

#[tokio::test]
async fn a_request_without_a_host_is_served_as_loopback() {
    let world = World::new();
    assert_eq!(send_raw(world.address(), b"GET / HTTP/1.0\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn strange_requests_are_answered_and_the_server_keeps_running() {
    let world = World::new();
    for target in [
        "/api/v2/token/get?%ff=%00&&&=&app_key=%F0%9F",
        "/api/v2/token/refresh?app_key=%zz",
        "/authorization/202309/shops?timestamp=99999999999999999999999&app_key=6fakeapp00001",
        "/open/authorize?service_id=%00%ff",
        "/callback?%ff%00",
        "/_control/sellers/%ff/end",
        "//",
        "/%2e%2e/%00",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"] {
            for host in ["localhost", TOKEN_HOST, API_HOST, "services.tiktokshop.com"] {
                let reply = send(world.address(), method, host, target, &[], "").await;
                assert!((200..500).contains(&reply.status), "{method} {host} {target}: {}", reply.status);
            }
        }
    }
    let headers = [("x-tts-access-token", "\u{fc}"), ("content-type", "\u{fc}")];
    assert_eq!(send(world.address(), "GET", API_HOST, SHOPS, &headers, "").await.verdict(), (400, 36_009_004));
    world.connect("one-shop").await;
}

#[tokio::test]
async fn a_body_of_more_than_1_mib_is_refused() {
    let world = World::new();
    let head =
        format!("POST {SHOPS} HTTP/1.1\r\nhost: {API_HOST}\r\nconnection: close\r\ncontent-length: 1048577\r\n\r\n");
    let mut request = head.into_bytes();
    request.resize(request.len() + 1_048_577, b'x');
    assert_eq!(send_raw(world.address(), &request).await.status, 413);
}

#[tokio::test]
async fn quiet_waits_until_every_connection_is_served_and_closed() {
    let world = World::new();
    let kept_alive = TcpStream::connect(world.address()).await.unwrap();
    for _ in 0..20 {
        let mut client = std::net::TcpStream::connect(world.address()).unwrap();
        write!(client, "GET {SHOPS} HTTP/1.1\r\nhost: {API_HOST}\r\n\r\n").unwrap();
    }
    assert_eq!(world.control.requests(), [], "the fake cannot have handled a request yet");

    let mut quiet = pin!(world.quiet());
    tokio::select! {
        biased;
        () = &mut quiet => panic!("a connection is open"),
        reply = world.local("GET", "/nowhere", "") => assert_eq!(reply.status, 404),
    }
    drop(kept_alive);
    quiet.await;
    assert_eq!(world.control.requests().iter().filter(|request| request.path == SHOPS).count(), 20);
}

#[tokio::test]
async fn a_dropped_fake_stops_listening() {
    let world = World::new();
    let address = world.address();
    let mut kept_alive = TcpStream::connect(address).await.unwrap();
    kept_alive.write_all(b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 4096];
    assert_ne!(kept_alive.read(&mut answer).await.unwrap(), 0);

    drop(world);
    while kept_alive.read(&mut answer).await.unwrap() > 0 {}
    // A connection that arrives while the listener closes may still be accepted or reset.
    loop {
        match TcpStream::connect(address).await {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => break,
            _ => tokio::task::yield_now().await,
        }
    }
}
