//! Clients that misuse HTTP itself: many idle connections, slow ones, and requests that two programs could read
//! differently.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::{Request, raw};
use crate::stage::{SHOP, Stage};

/// The number of connections that do nothing.
const IDLE: usize = 2000;

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_do_not_keep_others_out() {
    let stage = Stage::new().await;
    let mut idle = Vec::new();
    for number in 0..IDLE {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        // Every second one has begun a request.
        if number % 2 == 0 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await.unwrap();
        }
        idle.push(stream);
    }
    assert_eq!(stage.get("/v1/events").await.status, 200);
    assert_eq!(stage.get("/readyz").await.status, 200);
    // The idle connections are served, too, when they go on.
    let mut stream = idle.swap_remove(0);
    stream.write_all(b"connection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_above_the_number_of_connections_waits_until_one_is_closed() {
    let stage = Stage::with(|settings| settings.max_connections = std::num::NonZeroU32::MIN, None).await;
    let first = TcpStream::connect(stage.address).await.unwrap();
    // The first connection is accepted before the second one, because the kernel keeps their order.
    let second = tokio::spawn(stage.request("GET", "/healthz").send());
    drop(first);
    assert_eq!(second.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_webhook_is_read_only_with_a_signature_and_in_a_free_place() {
    let stage = Stage::with(|settings| settings.webhooks_in_flight = std::num::NonZeroU32::MIN, None).await;
    // The service asks for the body when it begins to read it.
    let head = |signature: &str| {
        format!(
            "POST /webhooks/acme HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\n\
             authorization: {signature}\r\ncontent-length: 2\r\n\r\n"
        )
    };
    for wrong in ["00", "Bearer x", &"A".repeat(64), &"0".repeat(65)] {
        let answer = raw(stage.address, head(wrong).as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{wrong} {}", String::from_utf8_lossy(&answer));
    }
    // A sender who has no secret can invent a text of the right form, and send its body slowly.
    let invented = "0".repeat(64);
    let mut slow = TcpStream::connect(stage.address).await.unwrap();
    slow.write_all(head(&invented).as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    slow.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, *b"HTTP/1.1 100 Continue\r\n\r\n");
    let send = async || {
        let request = Request::new(stage.address, "POST", "/webhooks/acme").header("authorization", &invented);
        request.body("application/json", "{}").send().await
    };
    let refused = send().await;
    assert_eq!((refused.problem(), refused.header("retry-after")), ((503, "busy".to_owned()), Some("1")));
    assert_eq!(stage.get("/healthz").await.status, 200);
    assert_eq!(stage.get("/v1/events").await.status, 200);

    slow.write_all(b"{}").await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(send().await.status, 401, "the place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_single_bytes_does_not_extend_its_deadline() {
    let stage = Stage::with(|settings| settings.head_deadline = Duration::from_millis(100), None).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
    // Each byte would restart a deadline that counts from the latest byte, and this loop would never end.
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_answers_loses_its_connection() {
    let stage = Stage::with(|settings| settings.write_deadline = Duration::from_millis(100), None).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n";
    // The service closes the connection when the buffers of both sides are full.
    while stream.write_all(request).await.is_ok() {}
    assert_eq!(stage.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_proxy_could_read_differently_hides_no_second_request() {
    let stage = Stage::new().await;
    let key = &stage.key;
    let hidden =
        format!("GET /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
    let head = "POST /v1/customers/c/disconnect HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
    for framing in [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}", hidden.len() + 5),
        format!("content-length: 0\r\ncontent-length: {}\r\n\r\n{hidden}", hidden.len()),
        format!("content-length: +{}\r\n\r\n{hidden}", hidden.len()),
        format!("content-length : {}\r\n\r\n{hidden}", hidden.len()),
        format!("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("x: a\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("x: a\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked\r\n\r\n-1\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n\r\n{hidden}"),
    ] {
        let answer = raw(stage.address, format!("{head}{framing}").as_bytes()).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("\"events\""), "{framing}\n{text}");
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{framing}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_and_the_host_of_a_request_lead_nowhere_else() {
    let stage = Stage::new().await;
    stage.connect("customer-7", "one-shop").await;
    stage.fake.clear_requests();
    let key = &stage.key;
    let ask = async |line: String, host: &str| {
        let request =
            format!("{line} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
        String::from_utf8(raw(stage.address, request.as_bytes()).await).unwrap()
    };
    let call = format!("/v1/customers/customer-7/shops/{SHOP}/tiktok");
    for line in [
        "CONNECT open-api.tiktokglobalshop.com:443".to_owned(),
        "CONNECT evil.example:443".to_owned(),
        "GET http://evil.example/order".to_owned(),
        "GET //evil.example/order".to_owned(),
        "OPTIONS *".to_owned(),
        "GET *".to_owned(),
        format!("GET {call}/http://evil.example/order"),
        format!("GET {call}/%68ttp:/evil.example"),
        format!("GET {call}/order/%2e%2e/%2e%2e/auth"),
        format!("GET {call}/order%252f..%252fauth"),
        format!("GET {call}/order%00"),
        format!("GET {call}/order\\..\\auth"),
        format!("GET {call}/%e3%80%82%e3%80%82/auth"),
        format!("GET {call}//api/v2/token/refresh"),
        format!("GET /v1/customers/customer-7/%73hops/../shops/{SHOP}/tiktok/../auth"),
        format!("GET /v1/customers/customer-7/shops/{SHOP}%2ftiktok/order"),
    ] {
        let answer = ask(line.clone(), "a").await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{line}\n{answer}");
        assert!(!answer.to_ascii_lowercase().contains("x-answered-by"), "{line}\n{answer}");
    }
    assert_eq!(stage.fake.requests(), [], "nothing was sent");
    // A request in absolute form is the request for its path. Neither its host nor the header Host changes anything.
    let answer = ask("GET http://evil.example/v1/events?limit=1".to_owned(), "evil.example").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body = json!({}).to_string();
    let session = format!(
        "POST /v1/customers/c/connect-sessions HTTP/1.1\r\nhost: evil.example\r\nx-forwarded-host: evil.example\r\n\
         forwarded: host=evil.example\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = String::from_utf8(raw(stage.address, session.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201") && !answer.contains("evil.example"), "{answer}");
    stage.keep("address", answer.split("/connect/").nth(1).unwrap().split('"').next().unwrap());
    // The headers of a signed call are not passed on.
    let call = format!("GET {call}/order/202309/orders?ids=1");
    let extra = "a\r\nx-tts-access-token: x\r\nx-forwarded-for: 1.2.3.4\r\ncookie: a=b\r\nte: trailers";
    let answer = ask(call.clone(), extra).await;
    assert!(!answer.is_empty());
    for request in stage.fake.requests() {
        for (name, value) in &request.headers {
            assert!(!["x-forwarded-for", "cookie", "te"].contains(&name.as_str()), "{name}");
            assert!(name != "authorization" && value != "x", "{name}");
        }
        assert!(
            request.host.ends_with("tiktokglobalshop.com") || request.host.starts_with("127.0.0.1"),
            "{}",
            request.host
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_another_customer_is_unknown() {
    let stage = Stage::new().await;
    let (id, _) = stage.session("customer-7").await;
    for customer in ["customer-8", "CUSTOMER-7", "customer-7%00", "customer-7%20"] {
        let answer = stage.get(&format!("/v1/customers/{customer}/connect-sessions/{id}")).await;
        assert_eq!(answer.problem(), (404, "unknown-session".to_owned()), "{customer}");
    }
}
