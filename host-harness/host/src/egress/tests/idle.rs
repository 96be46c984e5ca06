//! Tests which connection carries a request, and when an idle connection is closed.

use super::*;

async fn body_of_answer(client: &Client) -> Bytes {
    send(client).await.unwrap().into_body().collect().await.unwrap().to_bytes()
}

/// Lets the runtime notice everything that has arrived. The clock is paused, so this takes no time.
async fn let_events_arrive() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_use_a_connection_that_the_server_has_closed() {
    let mut server = Server::start(Answer::Close(OK)).await;
    let client = client_to(&server);
    for connections in 1..=3 {
        assert_eq!(body_of_answer(&client).await, "{}");
        server.ended.recv().await.unwrap();
        let_events_arrive().await;
        assert_eq!(server.connections(), connections);
        assert!(server.heads.recv().await.is_some());
        assert!(server.heads.try_recv().is_err(), "each request is sent once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_after_it_was_idle_for_20_seconds() {
    let mut server = Server::start(Answer::KeepOpen(OK)).await;
    let client = client_to(&server);
    let started = Instant::now();
    body_of_answer(&client).await;
    tokio::time::sleep(19 * SECOND).await;
    body_of_answer(&client).await;
    assert_eq!(server.connections(), 1);
    server.ended.recv().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 39);
    body_of_answer(&client).await;
    server.ended.recv().await.unwrap();
    assert_eq!((started.elapsed().as_secs(), server.connections()), (59, 2));
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_answer_is_not_read_to_its_end_is_closed() {
    let mut server = Server::start(Answer::Drip("HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n")).await;
    let client = client_to(&server);
    let unread = client.send(Authority::Auth, get(TOKEN_URL), RequestOptions::default()).await.unwrap();
    drop(unread);
    server.ended.recv().await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_at_the_same_time_have_connections_of_their_own() {
    let server = Server::start(Answer::KeepOpen(OK)).await;
    let client = client_to(&server);
    for _ in 0..2 {
        let both = tokio::join!(body_of_answer(&client), body_of_answer(&client));
        assert_eq!(both, (Bytes::from_static(b"{}"), Bytes::from_static(b"{}")));
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_chunked_answer_leaves_its_connection_to_the_next_request() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let server = Server::start(Answer::KeepOpen(chunked)).await;
    let client = client_to(&server);
    for _ in 0..3 {
        assert_eq!(body_of_answer(&client).await, "{}");
    }
    assert_eq!(server.connections(), 1);
}

/// An answer that nobody has asked for must not become the answer to the next request.
#[tokio::test(start_paused = true)]
async fn a_connection_on_which_more_than_the_answer_arrives_is_closed() {
    let two = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]";
    let mut server = Server::start(Answer::KeepOpen(two)).await;
    let client = client_to(&server);
    for connections in 1..=3 {
        assert_eq!(body_of_answer(&client).await, "{}");
        assert_eq!(server.connections(), connections);
    }
    server.ended.recv().await.unwrap();
}
