//! Tests that the HTTP client reads no proxy from the environment. Only an embedder can set a proxy.

use std::process::{Command, Stdio};

use super::tls::{Root, TlsServer, valid};
use super::*;

const VARIABLES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
const CHILD: &str = "EGRESS_TEST_CHILD";
const NAME: &str = "egress::tests::environment::the_environment_sets_no_proxy";

/// The test runs itself again in a child process. Only the child process gets the proxy variables, so the process of
/// the other tests keeps its environment.
#[test]
#[expect(clippy::disallowed_methods, reason = "the environment is what is tested, in a process of its own")]
fn the_environment_sets_no_proxy() {
    if std::env::var_os(CHILD).is_some() {
        return send_requests_in_the_child();
    }
    let proxy = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .envs(VARIABLES.map(|name| (name, address.as_str())))
        .env_remove("REQUEST_METHOD")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8(child.stdout).unwrap();
    assert!(output.contains("test result: ok. 1 passed"), "{output}");
    assert_eq!(proxy.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "the proxy was connected to");
}

/// Sends one request to a stand-in, and one request to a server over TLS.
fn send_requests_in_the_child() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(Answer::KeepOpen(OK)).await;
        assert_eq!(send(&client_to(&server)).await.unwrap().status(), 200);
        let root = Root::new();
        let server = TlsServer::start(root.issue(&valid()), &[], rustls::ALL_VERSIONS).await;
        assert_eq!(send(&client_over_tls(server.address, root.trusted())).await.unwrap().status(), 200);
    });
}
