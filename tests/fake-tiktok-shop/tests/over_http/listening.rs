//! Tests of a fake that listens beyond loopback, or that has names of its own.

use std::net::{Ipv4Addr, SocketAddr};

use fake_tiktok_shop::Options;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::client::{World, send};
use crate::program::start;

#[tokio::test]
async fn beyond_loopback_a_fake_answers_under_ip_addresses_and_its_names_only() {
    let names = vec!["fake.test:8080".to_owned(), "other.test".to_owned()];
    let options = Options { listen: Ipv4Addr::UNSPECIFIED.into(), host_names: names, ..Options::default() };
    let world = World::with(options);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, world.address().port()));
    for (host, status) in [
        ("localhost", 200),
        ("10.1.2.3:4010", 200),
        ("[fd00::1]:4010", 200),
        ("fake.test:8080", 200),
        ("FAKE.test", 200),
        ("other.test", 200),
        ("evil.example", 421),
    ] {
        for target in ["/", "/_control", "/_pages/webhooks"] {
            assert_eq!(send(address, "GET", host, target, &[], "").await.status, status, "{host} {target}");
        }
    }
    let form = format!("service_id={}&seller=one-shop&decision=refuse", world.app.service_id);
    for (origin, status) in [("http://fake.test:8080", 302), ("http://other.test", 403), ("http://evil.example", 403)] {
        let headers = [("origin", origin)];
        let reply = send(address, "POST", "fake.test:8080", "/open/authorize", &headers, &form).await;
        assert_eq!(reply.status, status, "{origin}");
        if status == 302 {
            let location = reply.header("location").unwrap();
            assert!(location.starts_with("http://fake.test:8080/callback?"), "{location}");
        }
    }
}

#[tokio::test]
async fn on_loopback_a_fake_does_not_answer_under_other_addresses() {
    let world = World::new();
    for host in ["10.1.2.3", "0.0.0.0", "fake.test"] {
        assert_eq!(send(world.address(), "GET", host, "/_control", &[], "").await.status, 421, "{host}");
    }
}

#[tokio::test]
async fn every_printed_link_answers_at_the_address_on_which_the_fake_listens() {
    for listen in ["127.0.0.1", "127.0.0.2", "0.0.0.0"] {
        let (_program, announcement) = start(&["--listen", listen]).await;
        let reached = if listen == "0.0.0.0" { "127.0.0.1" } else { listen };
        for link in ["/start_page", "/control", "/apps/0/consent", "/apps/1/consent"] {
            let link = announcement.pointer(link).unwrap().as_str().unwrap();
            let (authority, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
            let address: SocketAddr = authority.parse().unwrap();
            assert_eq!(address.ip().to_string(), reached, "{link}");
            let reply = send(address, "GET", authority, &format!("/{path}"), &[], "").await;
            assert_eq!(reply.status, 200, "{link}");
        }
    }
}

#[tokio::test]
async fn the_program_warns_if_it_listens_beyond_loopback_and_prints_links_with_its_name() {
    let (mut program, announcement) = start(&["--listen", "0.0.0.0", "--host-name", "localhost:8080"]).await;
    let address = announcement["address"].as_str().unwrap();
    assert!(address.starts_with("0.0.0.0:"), "{address}");
    assert_eq!(announcement["start_page"], "http://localhost:8080/");
    let consent = announcement["apps"][0]["consent"].as_str().unwrap();
    assert!(consent.starts_with("http://localhost:8080/open/authorize?"), "{consent}");
    program.kill().await.unwrap();
    let mut warning = String::new();
    program.stderr.take().unwrap().read_to_string(&mut warning).await.unwrap();
    let expected = format!(
        "fake-tiktok-shop: warning: the fake listens on {address}: everybody who reaches this address can read its \
         secrets and change its state. Use it in a private network only.\n"
    );
    assert_eq!(warning, expected);
}

#[tokio::test]
async fn an_address_or_a_name_that_cannot_be_used_gets_a_one_line_error() {
    for (arguments, error) in [
        (["--listen", "192.0.2.1"], "192.0.2.1 is not an address of this machine; choose another with --listen"),
        (["--host-name", "http://fake"], "\"http://fake\" is not a host name with an optional port"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_fake-tiktok-shop")).args(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("fake-tiktok-shop: {error}\n"));
    }
}
