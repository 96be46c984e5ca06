//! Tests of a hostile guest. Through the real `wasi:http`, the guest tries to send requests to network hosts other than
//! TikTok Shop's two hosts.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tiktok_shop_host::ConnectorHost;
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::OneAddress;
use crate::hostile_guest::{self, obey};

const DENIED: &str = "ErrorCode::HttpRequestDenied";
const PROHIBITED: &str = "ErrorCode::DestinationIpProhibited";

/// Returns a connector host, and its resolver. The resolver returns a forbidden address, so the guest cannot connect.
fn host() -> (ConnectorHost, Arc<OneAddress>) {
    let resolver = OneAddress::new(Ipv4Addr::LOCALHOST.into());
    (host_with(EgressPolicy::production().resolver(Arc::clone(&resolver) as Arc<_>)), resolver)
}

fn host_with(egress: EgressPolicy) -> ConnectorHost {
    hostile_guest::builder().egress(egress).build().unwrap()
}

/// Lets the guest send a request. Returns the status of the answer, or the error.
async fn request(host: &ConnectorHost, method: &str, scheme: &str, authority: &str, path: &str) -> String {
    obey(host, &format!("request\n{method}\n{scheme}\n{authority}\n{path}")).await.unwrap()
}

#[tokio::test]
async fn the_two_names_are_resolved_in_upper_and_lower_case_and_with_port_443() {
    let (host, resolver) = host();
    for (authority, name) in [
        ("auth.tiktok-shops.com", "auth.tiktok-shops.com"),
        ("open-api.tiktokglobalshop.com", "open-api.tiktokglobalshop.com"),
        ("AUTH.TikTok-Shops.COM", "auth.tiktok-shops.com"),
        ("auth.tiktok-shops.com:443", "auth.tiktok-shops.com"),
    ] {
        assert_eq!(request(&host, "GET", "https", authority, "/").await, PROHIBITED, "{authority}");
        assert_eq!(resolver.asked(), [name], "{authority}");
    }
}

#[tokio::test]
async fn every_other_authority_is_denied_before_it_is_resolved() {
    let (host, resolver) = host();
    for authority in [
        // Network hosts that do not belong to TikTok, and network hosts of TikTok other than the two.
        "evil.example",
        "localhost",
        "tiktok-shops.com",
        "services.tiktokshop.com",
        "metadata.google.internal",
        // Names that look like an allowed name.
        "auth.tiktok-shops.com.evil.example",
        "evil.auth.tiktok-shops.com",
        "evil-auth.tiktok-shops.com",
        "xauth.tiktok-shops.com",
        "auth.tiktok-shops.comx",
        "auth.tiktok-shops.co",
        "auth-tiktok-shops.com",
        "auth.tiktok--shops.com",
        "auth.tiktok_shops.com",
        "xn--auth-tiktok-shops-com.example",
        "xn--uth-5cd.tiktok-shops.com",
        "auth.tiktok-shops.com.",
        ".auth.tiktok-shops.com",
        "auth..tiktok-shops.com",
        // Ports other than 443, and malformed ports.
        "auth.tiktok-shops.com:",
        "auth.tiktok-shops.com:80",
        "auth.tiktok-shops.com:8443",
        "auth.tiktok-shops.com:0443",
        "auth.tiktok-shops.com:4430",
        // Authorities with a user name.
        "user@auth.tiktok-shops.com",
        "user:password@auth.tiktok-shops.com",
        "user:443@auth.tiktok-shops.com",
        "@auth.tiktok-shops.com",
        "auth.tiktok-shops.com@evil.example",
        "auth.tiktok-shops.com:443@evil.example",
        // IP addresses in every notation.
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "169.254.169.254",
        "1.1.1.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fd00:ec2::254]",
        "[2606:4700::1111]",
    ] {
        assert_eq!(request(&host, "GET", "https", authority, "/").await, DENIED, "{authority}");
    }
    assert!(resolver.asked().is_empty());
}

#[tokio::test]
async fn a_malformed_authority_is_refused_before_the_request_exists() {
    let (host, resolver) = host();
    for authority in [
        "auth.tiktok-shops.com/",
        "auth.tiktok-shops.com#@evil.example",
        "auth.tiktok-shops.com?@evil.example",
        "auth.tiktok-shops.com\\@evil.example",
        "auth.tiktok-shops.com evil.example",
        "auth.tiktok-shops.com\t",
        "auth.tiktok-shops.com\0.evil.example",
        "auth.tiktok-shops.com:443:443",
        "auth.tiktok-shops.com%40evil.example",
        "evil.example%23auth.tiktok-shops.com",
        "аuth.tiktok-shops.com",
        "auth。tiktok-shops。com",
        "ａuth.tiktok-shops.com",
        "::1",
        "[fe80::1%25eth0",
    ] {
        assert_eq!(request(&host, "GET", "https", authority, "/").await, "malformed authority", "{authority:?}");
    }
    assert!(resolver.asked().is_empty());
}

#[tokio::test]
async fn every_other_scheme_and_method_is_denied() {
    let (host, resolver) = host();
    for scheme in ["http", "ftp", "ws", "wss", "file", "gopher", "https-evil"] {
        assert_eq!(request(&host, "GET", scheme, "auth.tiktok-shops.com", "/").await, DENIED, "{scheme}");
    }
    for method in ["CONNECT", "HEAD", "OPTIONS", "PATCH", "TRACE", "PRI", "get"] {
        assert_eq!(request(&host, method, "https", "auth.tiktok-shops.com", "/").await, DENIED, "{method}");
    }
    assert!(resolver.asked().is_empty());
}

#[tokio::test]
async fn a_server_on_this_machine_gets_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (host, _) = host();
    for authority in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "auth.tiktok-shops.com"] {
        for scheme in ["http", "https"] {
            let denied = request(&host, "GET", scheme, &format!("{authority}:{port}"), "/").await;
            assert_eq!(denied, DENIED, "{scheme}, {authority}");
        }
    }
    assert!(listener.accept().now_or_never().is_none());
}

/// Generates authorities from host names, the separators of an authority, and arbitrary text.
fn authorities() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            "auth.tiktok-shops.com", "open-api.tiktokglobalshop.com", "AUTH.tiktok-shops.com", "evil.example",
            "127.0.0.1", "[::1]", "2130706433", ":443", ":80", ":", "@", ".", "%2e", "%40", "\\", "#", "?", "/", "xn--",
        ]).prop_map(str::to_owned),
        1 => "[^\r\n]{0,4}",
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

#[test]
fn for_arbitrary_requests_only_the_two_names_are_resolved() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (host, resolver) = host();
    let schemes = prop::sample::select(vec!["https", "http", "HTTPS", "ftp"]);
    let paths = prop_oneof![Just("/".to_owned()), "[^\r\n]{0,20}", authorities().prop_map(|text| format!("//{text}"))];
    let reached = RefCell::new(BTreeSet::new());
    TestRunner::deterministic()
        .run(&(schemes, authorities(), paths), |(scheme, authority, path)| {
            let outcome = runtime.block_on(request(&host, "GET", scheme, &authority, &path));
            let asked = resolver.asked();
            let named = Authority::Auth.host() == asked.concat() || Authority::Api.host() == asked.concat();
            prop_assert_eq!(!asked.is_empty(), named, "{:?}", asked);
            prop_assert_eq!(outcome == PROHIBITED, named, "{}", outcome);
            reached.borrow_mut().extend(asked);
            Ok(())
        })
        .unwrap();
    assert_eq!(reached.into_inner().len(), 2, "the generated requests must include both names");
}

/// Answers one request with status 204 and returns the head of the request.
async fn answer_one_request(listener: TcpListener) -> String {
    let mut connection = listener.accept().await.unwrap().0;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    connection.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
    String::from_utf8(head).unwrap()
}

/// Returns a connector host, and a listener that receives its requests to `auth.tiktok-shops.com`.
async fn host_with_stand_in() -> (ConnectorHost, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let policy = EgressPolicy::production().stand_in(Authority::Auth, address).unwrap();
    (host_with(policy), listener)
}

#[tokio::test]
async fn a_header_that_could_redirect_the_request_is_refused() {
    let (host, resolver) = host();
    for header in [
        "Host: evil.example",
        "hOST: evil.example",
        "Connection: upgrade",
        "Keep-Alive: timeout=600",
        "Proxy-Authenticate: Basic",
        "Proxy-Authorization: Basic eDp5",
        "Proxy-Connection: keep-alive",
        "Transfer-Encoding: chunked",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
    ] {
        let order = format!("request\nGET\nhttps\nauth.tiktok-shops.com\n/\n{header}");
        let name = header.split(':').next().unwrap();
        assert_eq!(obey(&host, &order).await, Ok(format!("{name}: HeaderError::Forbidden")));
    }
    // Pseudo-headers of HTTP/2, and names with a null character, are not valid header names.
    for header in [":authority: evil.example", ":scheme: http", ":path: /", "host\0: evil.example"] {
        let order = format!("request\nGET\nhttps\nauth.tiktok-shops.com\n/\n{header}");
        let outcome = obey(&host, &order).await.unwrap();
        assert!(outcome.ends_with("HeaderError::InvalidSyntax"), "{header:?}: {outcome}");
    }
    assert!(resolver.asked().is_empty());
}

#[tokio::test]
async fn paths_and_headers_of_the_guest_change_neither_the_host_nor_the_framing() {
    for (path, line) in [
        ("/a?b=c", "GET /a?b=c HTTP/1.1"),
        ("//evil.example/", "GET //evil.example/ HTTP/1.1"),
        ("/http://evil.example/", "GET /http://evil.example/ HTTP/1.1"),
        ("?x=@evil.example", "GET /?x=@evil.example HTTP/1.1"),
    ] {
        let (host, listener) = host_with_stand_in().await;
        let order = format!(
            "request\nGET\nhttps\nAuth.TikTok-Shops.com:443\n{path}\n\
             Forwarded: host=evil.example\nX-Forwarded-Host: evil.example\nX-HTTP-Method-Override: CONNECT"
        );
        let (status, head) = tokio::join!(obey(&host, &order), answer_one_request(listener));
        assert_eq!(status.as_deref(), Ok("204"), "{path}");
        let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
        assert_eq!(lines.remove(0), line);
        lines.sort_unstable();
        let expected = [
            "forwarded: host=evil.example",
            "host: auth.tiktok-shops.com",
            "x-forwarded-host: evil.example",
            "x-http-method-override: CONNECT",
        ];
        assert_eq!(lines, expected, "{path}");
    }
}

#[tokio::test]
async fn a_path_that_is_a_url_or_an_authority_is_refused() {
    let (host, resolver) = host();
    for path in
        ["https://evil.example/", "http://evil.example/", "evil.example:443", "@evil.example", " /", "/ HTTP/1.1"]
    {
        let outcome = request(&host, "GET", "https", "auth.tiktok-shops.com", path).await;
        assert_eq!(outcome, "malformed path", "{path:?}");
    }
    assert!(resolver.asked().is_empty());
}

#[tokio::test]
async fn no_connection_goes_to_an_address_outside_the_public_internet() {
    for internal in [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "198.51.100.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ] {
        let resolver = OneAddress::new(internal.parse::<IpAddr>().unwrap());
        let host = host_with(EgressPolicy::production().resolver(resolver));
        assert_eq!(request(&host, "GET", "https", "auth.tiktok-shops.com", "/").await, PROHIBITED, "{internal}");
    }
}
