//! Tests of scripted faults, as a client sees them on a plain TCP connection.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use fake_tiktok_shop::{Ending, Fault, Piece, catalogue};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{SHOPS, TOKEN_HOST, World, send};

const TOKEN_GET: &str = "/api/v2/token/get";

/// Returns a fault that keeps TikTok Shop from acting and sends this text.
fn fault(text: &str, then: Ending) -> Fault {
    Fault { acts: false, sends: vec![Piece::Text(text.to_owned())], then }
}

/// Opens a connection and sends a request to the token host on it.
async fn send_request(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let request = format!("GET {TOKEN_GET} HTTP/1.1\r\nhost: {TOKEN_HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Returns the bytes that a fault sends if TikTok Shop does not act.
fn bytes(fault: &Fault) -> Vec<u8> {
    fault
        .sends
        .iter()
        .flat_map(|piece| match piece {
            Piece::Text(text) => text.clone().into_bytes(),
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Repeat(text, times) => text.repeat(*times).into_bytes(),
            Piece::Answer { .. } => Vec::new(),
            Piece::AnswerLength => b"0".to_vec(),
        })
        .collect()
}

#[tokio::test]
async fn every_fault_of_the_catalogue_is_played_byte_for_byte() {
    let world = World::new();
    for (name, fault) in catalogue() {
        // In this test, TikTok Shop never acts. Another test covers the pieces that contain TikTok Shop's answer.
        let fault = Fault { acts: false, ..fault };
        world.control.fault_next(TOKEN_GET, &name, fault.clone());
        let mut stream = send_request(&world).await;
        let expected = bytes(&fault);
        let mut received = vec![0; expected.len()];
        let played = stream.read_exact(&mut received).await;
        if fault.then != Ending::Reset {
            played.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(received == expected, "{name}");
        }
        match &fault.then {
            Ending::Close => assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "{name}"),
            Ending::Reset => {
                let error = stream.read_to_end(&mut received).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{name}");
            }
            Ending::Stall => {
                // The connection must stay open until the client closes it: the server still reads.
                stream.write_all(b"and so on").await.unwrap();
                stream.shutdown().await.unwrap();
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "{name}");
            }
            Ending::Endless(text) => {
                let mut more = vec![0; 1_000_000 / text.len() * text.len()];
                stream.read_exact(&mut more).await.unwrap();
                assert!(more.chunks(text.len()).all(|chunk| chunk == text.as_bytes()), "{name}");
            }
        }
        let record = world.control.requests().pop().unwrap();
        assert_eq!((record.fault, record.status, record.code), (Some(name), 0, None));
    }
    assert_eq!(world.control.faults(), []);
}

#[test]
fn every_fault_has_a_distinct_name_and_is_found_by_it() {
    let all = catalogue();
    let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), all.len());
    for (name, fault) in &all {
        assert_eq!(Fault::named(name).as_ref(), Some(fault));
    }
    assert_eq!(Fault::named("HTTP 418"), None);
}

#[tokio::test]
async fn tiktok_shop_acts_on_a_request_whose_reply_is_lost_and_the_log_shows_its_answer() {
    let world = World::new();
    let code = world.code("one-shop");
    world.control.fault_next(TOKEN_GET, "lost", Fault { acts: true, sends: vec![], then: Ending::Reset });
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let app = &world.app;
    let request = format!(
        "GET {TOKEN_GET}?app_key={}&app_secret={}&auth_code={code}&grant_type=authorized_code HTTP/1.1\r\n\
         host: {TOKEN_HOST}\r\n\r\n",
        app.app_key, app.app_secret
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);

    let record = world.control.requests().pop().unwrap();
    assert_eq!((record.status, record.code, record.fault.as_deref()), (200, Some(0), Some("lost")));
    assert_eq!(world.control.issued(&app.service_id, "one-shop").unwrap().refresh_tokens.len(), 1);
    assert_eq!(world.exchange(&code).await.verdict(), (200, 36_004_004));
}

#[tokio::test]
async fn a_fault_on_which_tiktok_shop_does_not_act_changes_no_state() {
    let world = World::new();
    let code = world.code("one-shop");
    world.control.fault_next(TOKEN_GET, "busy", Fault::named("HTTP 503, JSON").unwrap());
    assert_eq!(world.exchange(&code).await.verdict(), (503, 36_009_003));
    assert_eq!(world.exchange(&code).await.verdict(), (200, 0));
}

#[tokio::test]
async fn a_fault_can_send_the_answer_in_whole_or_in_part_under_another_head() {
    let world = World::new();
    let head = Piece::Text("HTTP/1.1 203 Mended\r\ncontent-length: ".into());
    let end = Piece::Text("\r\n\r\n".into());
    let whole = Piece::Answer { skip: 0, take: None };
    let sends = vec![head.clone(), Piece::AnswerLength, end.clone(), whole];
    world.control.fault_next(TOKEN_GET, "whole", Fault { acts: true, sends, then: Ending::Close });
    let reply = world.exchange("no-code").await;
    assert_eq!(reply.verdict(), (203, 36_004_004));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));

    let part = Piece::Answer { skip: 1, take: Some(6) };
    let sends = vec![head, Piece::Text("6".into()), end, part];
    world.control.fault_next(TOKEN_GET, "part", Fault { acts: true, sends, then: Ending::Close });
    assert_eq!(world.exchange("no-code").await.body, "\"code\"");
}

#[tokio::test]
async fn the_scripts_of_a_path_are_played_in_order_until_they_are_used_up() {
    let world = World::new();
    let answer = |status: u16| fault(&format!("HTTP/1.1 {status} x\r\n\r\n"), Ending::Close);
    let control = &world.control;
    control.fault_next(TOKEN_GET, "first", answer(501));
    control.fault_next(TOKEN_GET, "second", answer(502));
    control.fault_every(SHOPS, "every", answer(503));
    control.fault_next(SHOPS, "never", answer(504));

    let get = async |path| send(world.address(), "GET", "localhost", path, &[], "").await.status;
    assert_eq!([get(TOKEN_GET).await, get(TOKEN_GET).await, get(TOKEN_GET).await], [501, 502, 200]);
    assert_eq!([get(SHOPS).await, get(SHOPS).await], [503, 503]);

    let left: Vec<_> = control.faults().into_iter().map(|script| (script.name, script.left, script.met)).collect();
    assert_eq!(left, [("every".to_owned(), None, 2), ("never".to_owned(), Some(1), 0)]);
    assert_eq!(control.clear_faults().len(), 2);
    assert_eq!(control.faults(), []);
    assert_eq!(get(SHOPS).await, 400);
}

#[tokio::test]
async fn a_fault_ends_a_connection_that_has_served_an_earlier_request() {
    let world = World::new();
    let mut stream = send_request(&world).await;
    let mut received = vec![0; 12];
    stream.read_exact(&mut received).await.unwrap();
    assert_eq!(received, b"HTTP/1.1 200");
    world.control.fault_next(SHOPS, "odd", fault("!", Ending::Close));
    let request = format!("GET {SHOPS} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"}!"), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn stalled_connections_are_closed_when_the_fake_stops() {
    let world = World::new();
    world.control.fault_next(TOKEN_GET, "silent", fault("H", Ending::Stall));
    let mut stream = send_request(&world).await;
    let mut received = Vec::new();
    stream.read_buf(&mut received).await.unwrap();
    drop(world);
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"H");
}

#[tokio::test]
async fn faults_are_scripted_over_http() {
    let world = World::new();
    let by_name = json!({ "path": TOKEN_GET, "name": "HTTP 429, Retry-After: 7", "times": 1 }).to_string();
    let shown = world.local("POST", "/_control/faults", &by_name).await.json();
    assert_eq!(shown["scripted"][0]["left"], 1);
    assert_eq!(shown["catalogue"].as_array().unwrap().len(), catalogue().len());
    let reply = world.local("GET", TOKEN_GET, "").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));

    let sends =
        json!([{ "text": "HTTP/1.1 418 x\r\n\r\n" }, { "bytes": [65] }, { "repeat": ["b", 3] }, { "answer": {} }]);
    let own = json!({ "path": SHOPS, "name": "mine", "fault": { "acts": false, "sends": sends, "then": "close" } });
    assert_eq!(world.local("POST", "/_control/faults", &own.to_string()).await.status, 200);
    let reply = world.local("GET", SHOPS, "").await;
    assert_eq!((reply.status, reply.body.as_str()), (418, "Abbb"));
    assert_eq!(world.local("GET", "/_control/requests", "").await.json()[1]["fault"], "mine");
    assert!(world.local("GET", "/", "").await.body.contains(" Fault: mine</span>"));

    let unused = world.local("DELETE", "/_control/faults", "").await.json();
    assert_eq!((unused[0]["name"].as_str(), unused[0]["met"].as_u64()), (Some("mine"), Some(1)));
    assert_eq!(world.local("GET", "/_control/faults", "").await.json()["scripted"], json!([]));

    let unknown = json!({ "path": SHOPS, "name": "HTTP 418" }).to_string();
    assert_eq!(world.local("POST", "/_control/faults", &unknown).await.status, 404);
    assert_eq!(world.local("POST", "/_control/faults", "{}").await.status, 400);
}
