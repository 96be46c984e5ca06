//! Tests that a remote PostgreSQL server does not get the password if it says that it has no TLS. Anybody in the
//! network could pretend to be such a server.
#![allow(clippy::unwrap_used, reason = "a broken expectation is a failed test")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::sync::{Arc, Mutex, PoisonError};

use tiktok_shop_private_file::Access;
use tiktok_shop_sql_storage::{OpenError, OpenMode, PostgresOptions, SqlStorage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "CANARY-of-the-password";
/// The message `SSLRequest` of PostgreSQL's protocol, version 3.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// The message `AuthenticationCleartextPassword`.
const PASSWORD_REQUEST: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];

/// A server that has no TLS and asks for the password as plain text. It keeps all bytes that it receives.
struct Listener {
    port: u16,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Listener {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, received) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<u8>>>::default());
        let to = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                serve(client, &to).await;
            }
        });
        Self { port, received }
    }

    /// Opens a storage with the address of this server. Returns the error of the attempt and the bytes that the server
    /// received. The host `0.0.0.0` reaches this machine, but is not a loopback address.
    async fn open(&self, host: &str, parameters: &str) -> (OpenError, Vec<u8>) {
        let address = format!("postgres://user:{PASSWORD}@{host}:{}/db{parameters}", self.port);
        let error = SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.err().unwrap();
        (error, std::mem::take(&mut *self.received.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Answers the requests of one connection until the client closes the connection or sends the password.
async fn serve(mut client: TcpStream, received: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    loop {
        let length = client.read(&mut buffer).await.unwrap_or_default();
        let message = buffer.get(..length).unwrap_or_default();
        received.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(message);
        let answer: &[u8] = match message.first() {
            None | Some(b'p') => return,
            Some(_) if message == SSL_REQUEST => b"N",
            Some(_) => &PASSWORD_REQUEST,
        };
        if client.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn contains_password(received: &[u8]) -> bool {
    received.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_a_network_that_has_no_tls_does_not_get_the_password() {
    let listener = Listener::start().await;
    for parameters in ["", "?sslmode=verify-full", "?application_name=a"] {
        let (error, received) = listener.open("0.0.0.0", parameters).await;
        assert!(matches!(&error, OpenError::Unreachable(why) if why.contains("TLS")), "{parameters}: {error}");
        assert_eq!(received, SSL_REQUEST, "{parameters}");
    }
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let (error, received) = listener.open("0.0.0.0", &format!("?sslmode={mode}")).await;
        assert!(matches!(error, OpenError::Unverified), "{mode}: {error}");
        assert_eq!(received, b"", "{mode}");
    }
}

/// This test also proves that the listener sees a password that is sent to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_gets_the_password_on_this_machine_or_if_the_address_allows_it() {
    let listener = Listener::start().await;
    for (host, parameters) in [
        ("127.0.0.1", ""),
        ("localhost", ""),
        ("0.0.0.0", "?unverified-server=allowed"),
        ("0.0.0.0", "?unverified-server=allowed&sslmode=disable"),
    ] {
        let (_, received) = listener.open(host, parameters).await;
        assert!(contains_password(&received), "{host} {parameters}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_key_that_others_can_read_is_refused_before_the_server_is_reached() {
    let listener = Listener::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("client.key");
    fs::write(&key, "CANARY").unwrap();
    let is_root = chown(&key, Some(0), None).is_ok();
    for (mode, access, is_accepted) in [
        (0o600, Access::Owner, true),
        (0o400, Access::Owner, true),
        // As for PostgreSQL's own library, a group may read a file of root.
        (0o640, Access::Owner, is_root),
        (0o440, Access::Owner, is_root),
        (0o640, Access::Group, true),
        (0o644, Access::Owner, false),
        (0o644, Access::Group, false),
        // A temporary folder is not a read-only mount.
        (0o444, Access::Mounted, false),
        (0o660, Access::Group, false),
        (0o666, Access::Mounted, false),
    ] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        for name in ["sslkey", "ssl-key"] {
            let address = format!("postgres://user@127.0.0.1:{}/db?{name}={}", listener.port, key.display());
            let options = PostgresOptions { key_file_access: access, ..PostgresOptions::default() };
            let error = SqlStorage::postgres(&address, OpenMode::Existing, options).await.err().unwrap();
            let received = std::mem::take(&mut *listener.received.lock().unwrap_or_else(PoisonError::into_inner));
            let is_refused = matches!(error, OpenError::File(_)) && received.is_empty();
            assert_eq!(is_refused, !is_accepted, "{mode:o} {access} {name}: {error}");
        }
    }
    let address = format!("postgres://user@127.0.0.1:{}/db?sslkey={}/missing", listener.port, folder.path().display());
    let error = SqlStorage::postgres(&address, OpenMode::Existing, PostgresOptions::default()).await.err().unwrap();
    assert_eq!(error.to_string(), format!("{}/missing: there is no such file", folder.path().display()));
}
