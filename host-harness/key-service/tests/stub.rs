//! Tests TLS, deadlines and repeated requests with small servers that give the answers of a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod pem;

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tiktok_shop_host::seal::{Destruction, KeyError, KeyProvider as _};
use tiktok_shop_host::storage::WrappedKey;
use tiktok_shop_host::{HostKeyId, TenantId};
use tiktok_shop_key_service::{Auth, KeyService, Options, SetupError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

const LOOKED_UP: &str = r#"{"data":{"ttl":0,"renewable":false}}"#;

const FAILED: &str = "failed with HTTP 500: internal error; the log of the service says more";

fn options(address: String) -> Options {
    Options::new(address, Auth::Token("s.CANARY".into()))
}

fn why(error: KeyError) -> String {
    let KeyError::Unavailable { why, .. } = error else { panic!("the service is available, but {error}") };
    why
}

/// Starts a server that answers the first requests with these statuses, and all others with success. Returns its
/// address and the paths of the requests that it has received.
async fn stub(statuses: Vec<u16>, success: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let (paths, answered) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&paths);
    let answer = move |uri: Uri| async move {
        seen.lock().unwrap().push(uri.path().to_owned());
        match statuses.get(answered.fetch_add(1, Ordering::SeqCst)) {
            Some(&status) => (StatusCode::from_u16(status).unwrap(), r#"{"errors":["internal error"]}"#),
            None => (StatusCode::OK, success),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (address, paths)
}

#[tokio::test]
async fn a_request_that_changes_nothing_is_repeated_after_a_transient_failure() {
    let (address, paths) = stub(vec![500, 429], LOOKED_UP).await;
    KeyService::new(options(format!("http://{address}"))).unwrap().current().await.unwrap();
    assert_eq!(*paths.lock().unwrap(), ["/v1/auth/token/lookup-self"; 3]);

    let (address, paths) = stub(vec![500; 9], LOOKED_UP).await;
    let error = KeyService::new(options(format!("http://{address}"))).unwrap().current().await.unwrap_err();
    assert_eq!(why(error), format!("the key service at {address} {FAILED}"));
    assert_eq!(paths.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_login_that_was_sent_is_not_repeated() {
    let (address, paths) = stub(vec![500; 9], "").await;
    let auth = Auth::AppRole { mount: "approle".into(), role_id: "r".into(), secret_id: "CANARY".into() };
    let error = KeyService::new(Options::new(format!("http://{address}"), auth)).unwrap().current().await.unwrap_err();
    assert_eq!(why(error), format!("the key service at {address} {FAILED}"));
    assert_eq!(*paths.lock().unwrap(), ["/v1/auth/approle/login"]);
}

/// A service that has no authentication at the configured mount.
#[tokio::test]
async fn a_login_at_a_wrong_mount_names_the_mount() {
    let answer = || async { (StatusCode::NOT_FOUND, r#"{"errors":["no handler for route \"auth/nowhere/login\""]}"#) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let auth = Auth::AppRole { mount: "nowhere".into(), role_id: "r".into(), secret_id: "CANARY".into() };
    let error = KeyService::new(Options::new(format!("http://{address}"), auth)).unwrap().current().await.unwrap_err();
    let no_mount = "has no authentication at auth/nowhere; enable it there or correct auth-mount";
    assert_eq!(why(error), format!("the key service at {address} {no_mount}"));
}

/// The server of this test stands for a load balancer that has no route to the key service.
#[tokio::test]
async fn an_answer_of_a_load_balancer_does_not_mean_that_a_key_is_missing_or_destroyed() {
    let answer = |uri: Uri| async move {
        match uri.path() {
            "/v1/auth/token/lookup-self" => (StatusCode::OK, LOOKED_UP),
            _ => (StatusCode::NOT_FOUND, "<html><h1>404 Not Found</h1></html>"),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });

    let keys = KeyService::new(options(format!("http://{address}"))).unwrap();
    let tenant: TenantId = "acme".parse().unwrap();
    let host_key: HostKeyId = "tiktok-shop.acme:v1".parse().unwrap();
    let wrapped = WrappedKey { host_key, bytes: b"vault:v1:AAAA".to_vec() };
    let not_found = "gave an answer that is not one of OpenBao or Vault: HTTP 404, but not as for a missing key; \
                     check the address and the load balancer";
    let not_found = format!("the key service at {address} {not_found}");
    assert_eq!(why(keys.unwrap(&tenant, &wrapped, b"context").await.unwrap_err()), not_found);
    assert_eq!(why(keys.current_for(&tenant).await.unwrap_err()), not_found);
    assert_eq!(why(keys.destroy(&tenant, std::slice::from_ref(&wrapped.host_key)).await.unwrap_err()), not_found);
    // No data key names the host key, so the host would not delete it. Somebody must look whether it is there.
    let path = "transit/keys/tiktok-shop.acme";
    let next = format!(
        "this database has no data key under {path}; if no other database needs it, an administrator of the key \
         service can run: bao write {path}/config deletion_allowed=true, then bao delete {path}"
    );
    let not_allowed = Destruction::NotAllowed { key: path.to_owned(), next };
    assert_eq!(keys.destroy(&tenant, &[]).await.unwrap(), not_allowed);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_fails_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let late = "did not answer in time; check the network and the load of the service";
    let started = Instant::now();
    let error = KeyService::new(options(format!("http://{address}"))).unwrap().current().await.unwrap_err();
    assert_eq!(why(error), format!("the key service at {address} {late}"));
    assert_eq!(started.elapsed().as_secs(), 8);
}

/// Starts a TLS server for localhost that answers every request with success. Returns its port and the PEM text of its
/// authority.
async fn tls_stub() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _length = stream.read(&mut request).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", LOOKED_UP.len());
            let _closed = stream.write_all(format!("{head}{LOOKED_UP}").as_bytes()).await;
            let _closed = stream.shutdown().await;
        }
    });
    (port, pem::certificate(made.cert.der()))
}

#[tokio::test]
async fn only_an_authority_of_the_file_may_sign_the_certificate() {
    let (port, pem) = tls_stub().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, pem).unwrap();
    let address = format!("https://localhost:{port}");
    let mut trusting = options(address.clone());
    trusting.ca_file = Some(file.clone());
    KeyService::new(trusting.clone()).unwrap().current().await.unwrap();

    let error = KeyService::new(options(address)).unwrap().current().await.unwrap_err();
    let refused = "can't be reached: invalid peer certificate: UnknownIssuer; check the address, the network and the \
                   certificate";
    assert_eq!(why(error), format!("the key service at localhost:{port} {refused}"));

    for (content, why) in [
        ("no certificate".to_owned(), "it contains no certificate in PEM"),
        ("-----BEGIN CANARY".to_owned(), "a certificate in it, or another section between BEGIN and END, is malformed"),
        (" ".repeat((1 << 20) + 1), "longer than 1048576 bytes"),
    ] {
        fs::write(&file, content).unwrap();
        let expected = SetupError::CaFile { path: file.clone(), why: why.to_owned() };
        assert_eq!(KeyService::new(trusting.clone()).unwrap_err(), expected);
    }
}
