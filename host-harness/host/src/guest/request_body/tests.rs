use futures::FutureExt as _;

use super::*;
use crate::guest::resources::exhausted;

/// Returns the outcome of the host's body, or `None` if it is not complete yet.
fn collected(body: &mut WasiBody) -> Option<Result<Bytes, String>> {
    let whole = body.collect().now_or_never()?;
    Some(whole.map(http_body_util::Collected::to_bytes).map_err(|error| format!("{error:?}")))
}

#[test]
fn the_host_gets_the_body_when_the_guest_has_finished_it() {
    let (mut resource, mut body) = RequestBody::new(Some(4), BytesLeft::default());
    let mut stream = resource.stream().unwrap();
    assert!(resource.stream().is_none(), "the stream can be taken once");
    stream.write(Bytes::from_static(b"ab")).unwrap();
    stream.write(Bytes::from_static(b"cd")).unwrap();
    assert_eq!(stream.check_write().unwrap(), MAX_WRITE);
    assert_eq!(collected(&mut body), None);
    resource.finish().unwrap();
    assert_eq!(collected(&mut body), Some(Ok(Bytes::from_static(b"abcd"))));
    assert!(matches!(stream.write(Bytes::from_static(b"e")), Err(StreamError::Closed)));
}

#[test]
fn a_body_of_another_length_than_announced_is_not_sent() {
    let (mut resource, mut body) = RequestBody::new(Some(3), BytesLeft::default());
    let mut stream = resource.stream().unwrap();
    stream.write(Bytes::from_static(b"ab")).unwrap();
    assert!(matches!(stream.write(Bytes::from_static(b"cd")), Err(StreamError::LastOperationFailed(_))));
    assert!(matches!(resource.finish(), Err(ErrorCode::HttpRequestBodySize(Some(2)))));
    assert_eq!(collected(&mut body), Some(Err("HttpProtocolError".to_owned())));
}

#[test]
fn a_body_that_the_guest_drops_is_not_sent() {
    let (resource, mut body) = RequestBody::new(None, BytesLeft::default());
    drop(resource);
    assert_eq!(collected(&mut body), Some(Err("HttpProtocolError".to_owned())));
}

#[test]
fn a_body_over_16_mib_is_not_sent_and_not_kept() {
    let (mut resource, mut body) = RequestBody::new(None, BytesLeft::default());
    let mut stream = resource.stream().unwrap();
    for _ in 0..16 {
        stream.write(Bytes::from(vec![b'x'; 1 << 20])).unwrap();
    }
    assert!(matches!(stream.write(Bytes::from_static(b"x")), Err(StreamError::Closed)));
    assert!(matches!(stream.check_write(), Err(StreamError::Closed)));
    assert_eq!(lock(&resource.written).bytes.capacity(), 0);
    resource.finish().unwrap();
    assert_eq!(collected(&mut body), Some(Err("HttpRequestBodySize(Some(16777216))".to_owned())));
}

#[test]
fn the_bodies_of_a_call_have_a_limit_together() {
    let bytes_left = BytesLeft::default();
    let mut kept = Vec::new();
    let mut write = |bytes: usize| {
        let (mut resource, body) = RequestBody::new(None, bytes_left.clone());
        let outcome = resource.stream().unwrap().write(Bytes::from(vec![b'x'; bytes]));
        kept.push((resource, body));
        outcome
    };
    for _ in 0..64 {
        write(1 << 20).unwrap();
    }
    let Err(StreamError::Trap(error)) = write(1) else { panic!("the limit of a call") };
    assert_eq!(exhausted(&error), Some(Resource::Memory));
    // Another call has a limit of its own.
    let (mut resource, _body) = RequestBody::new(None, BytesLeft::default());
    resource.stream().unwrap().write(Bytes::from_static(b"x")).unwrap();
}
