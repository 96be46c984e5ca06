//! Tests the provider against a real OpenBao server, with the policies of `docs/keys.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod pem;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{DataKey, Destruction, HostKeys, KeyError, KeyProvider, KeySuccession, Keyring};
use tiktok_shop_host::storage::{MemoryStorage, StorageError, WrappedKey};
use tiktok_shop_host::{HostKeyId, Revision, TenantId};
use tiktok_shop_key_service::{Auth, KeyService, Options};
use tiktok_shop_test_key_service::Server;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

const PAGE: &str = include_str!("../../../docs/keys.md");
const CONTEXT: &[u8] = b"context";

/// Returns the first policy after this heading of the page. The policy is a code block.
fn policy(heading: &str) -> &'static str {
    let (_, section) = PAGE.split_once(heading).unwrap();
    let (_, block) = section.split_once("```hcl\n").unwrap();
    block.split_once("```").unwrap().0
}

/// Starts a server with the policies of the page: `connector` and `connector-erase`.
fn server() -> Option<Server> {
    let server = Server::start()?;
    server.write_policy("connector", policy("### The policy"));
    server.write_policy("connector-erase", policy("### The policy for erasures"));
    Some(server)
}

fn with_token(server: &Server, token: &str) -> KeyService {
    KeyService::new(Options::new(server.address(), Auth::Token(token.into()))).unwrap()
}

/// Returns a provider whose token has the policy `connector`.
fn connector(server: &Server) -> KeyService {
    with_token(server, &server.create_token(&json!({ "policies": ["connector"], "period": "1h" })))
}

fn tenant(id: &str) -> TenantId {
    id.parse().unwrap()
}

fn connection() -> ConnectionKey {
    ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() }
}

fn revision() -> Revision {
    "r".parse().unwrap()
}

fn storage() -> Arc<MemoryStorage> {
    Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))))
}

fn keyring(storage: &Arc<MemoryStorage>, keys: impl KeyProvider + 'static) -> Keyring {
    Keyring::new(Arc::clone(storage) as _, Arc::new(keys), Arc::new(SystemRandomness))
}

async fn wrapped(keys: &KeyService, tenant: &TenantId) -> WrappedKey {
    keys.wrap(tenant, &DataKey::new([7; 32]), CONTEXT).await.unwrap()
}

fn id(text: &str) -> HostKeyId {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_data_key_is_unwrapped_only_for_its_tenant_and_its_context() {
    let Some(server) = server() else { return };
    let keys = connector(&server);
    let long = "x".repeat(256);
    let mut seen = Vec::new();
    for name in ["acme", "ACME", "acme-", "../acme", "é b", "*", &long] {
        let tenant = tenant(name);
        let wrapped = wrapped(&keys, &tenant).await;
        assert_eq!(keys.unwrap(&tenant, &wrapped, CONTEXT).await.unwrap().expose(), &[7; 32], "{name}");
        let mismatch = KeyError::Mismatch(wrapped.host_key.clone());
        assert_eq!(keys.unwrap(&tenant, &wrapped, b"other").await.unwrap_err(), mismatch, "{name}");
        seen.push((tenant, wrapped));
    }
    for (tenant, _) in &seen {
        for (_, wrapped) in seen.iter().filter(|(other, _)| other != tenant) {
            let mismatch = KeyError::Mismatch(wrapped.host_key.clone());
            assert_eq!(keys.unwrap(tenant, wrapped, CONTEXT).await.unwrap_err(), mismatch, "{tenant}");
        }
    }
    // The ciphertext of another tenant does not unwrap, even if it is stored with the id of the own host key.
    let [(acme, own), (_, foreign), ..] = &*seen else { panic!() };
    assert_eq!(own.host_key, id("tiktok-shop.acme:v1"));
    let copied = WrappedKey { host_key: own.host_key.clone(), bytes: foreign.bytes.clone() };
    assert_eq!(keys.unwrap(acme, &copied, CONTEXT).await.unwrap_err(), KeyError::Mismatch(own.host_key.clone()));
    let unknown = WrappedKey { host_key: id("host-0000000000000000"), bytes: own.bytes.clone() };
    let error = KeyError::Unknown(unknown.host_key.clone());
    assert_eq!(keys.unwrap(acme, &unknown, CONTEXT).await.unwrap_err(), error);
    assert_eq!(keys.current().await.unwrap(), id("tiktok-shop.*"));
}

#[tokio::test]
async fn after_a_rotation_in_the_service_every_tenant_moves_to_the_newest_version() {
    let Some(server) = server() else { return };
    let (storage, t, r) = (storage(), tenant("acme"), revision());
    let keys = connector(&server);
    let ring = keyring(&storage, keys.clone());
    let sealed = ring.seal_token(&t, &connection(), &r, b"record").await.unwrap();
    assert!(ring.status().await.unwrap().is_rotated());
    let old = wrapped(&keys, &t).await;

    server.ok("POST", "transit/keys/tiktok-shop.acme/rotate", &Value::Null);
    let status = ring.status().await.unwrap();
    assert!(!status.is_rotated());
    assert_eq!(status.keys[0].host_key, Some(id("tiktok-shop.acme:v1")));
    assert_eq!(status.keys[0].current, Some(id("tiktok-shop.acme:v2")));
    let rotated = ring.rotate(Duration::ZERO, |_| {}).await.unwrap();
    assert_eq!((rotated.tenants, rotated.added, rotated.removed), (1, 1, 1));
    let status = ring.status().await.unwrap();
    assert!(status.is_rotated());
    assert_eq!(status.keys[0].host_key, Some(id("tiktok-shop.acme:v2")));
    let gone = format!("key-unavailable({}): the tenant has no key of that name", sealed.key());
    let other_host = keyring(&storage, connector(&server));
    assert_eq!(other_host.open_token(&t, &connection(), &r, &sealed).await.unwrap_err(), StorageError::Refused(gone));
    let sealed = ring.seal_token(&t, &connection(), &r, b"record").await.unwrap();

    let earliest = json!({ "min_decryption_version": 2 });
    server.ok("POST", "transit/keys/tiktok-shop.acme/config", &earliest);
    let new = keyring(&storage, connector(&server));
    assert_eq!(**new.open_token(&t, &connection(), &r, &sealed).await.unwrap(), *b"record");
    let error = keys.unwrap(&t, &old, CONTEXT).await.unwrap_err().to_string();
    let advice = "no longer decrypts with this version; lower min_decryption_version, run keys rotate, then raise it \
                  again";
    assert!(error.starts_with("key-unavailable(tiktok-shop.acme:v1): "), "{error}");
    assert!(error.ends_with(advice), "{error}");
}

#[tokio::test]
async fn a_deleted_key_makes_the_erasure_of_its_tenant_final_and_is_not_made_again() {
    let Some(server) = server() else { return };
    let (storage, t, r) = (storage(), tenant("acme"), revision());
    let eraser = server.create_token(&json!({ "policies": ["connector", "connector-erase"] }));
    let ring = keyring(&storage, connector(&server));
    let sealed = ring.seal_token(&t, &connection(), &r, b"record").await.unwrap();
    let old = wrapped(&connector(&server), &t).await;

    let path = "transit/keys/tiktok-shop.acme";
    let not_allowed = ring.destroy_host_key(&t).await.unwrap();
    let next = "an administrator of the key service must run: bao write transit/keys/tiktok-shop.acme/config \
                deletion_allowed=true, then bao delete transit/keys/tiktok-shop.acme";
    assert_eq!(not_allowed, Destruction::NotAllowed { key: path.to_owned(), next: next.to_owned() });
    assert_eq!(server.ok("GET", path, &Value::Null)["data"]["deletion_allowed"], false, "nothing was changed");

    let owner = keyring(&storage, with_token(&server, &eraser));
    assert_eq!(owner.destroy_host_key(&t).await.unwrap(), Destruction::Destroyed);
    assert_eq!(owner.destroy_host_key(&t).await.unwrap(), Destruction::Destroyed, "a repetition does nothing");
    assert_eq!(server.request("GET", path, &Value::Null).0, 404);

    // This is the state of a host whose database was restored from a backup.
    let gone =
        StorageError::Refused("key-unavailable(tiktok-shop.acme:v1): no host key of that name is here".to_owned());
    let restored = keyring(&storage, connector(&server));
    assert_eq!(restored.open_token(&t, &connection(), &r, &sealed).await.unwrap_err(), gone);
    assert_eq!(restored.ensure_key(&t).await.unwrap_err(), gone);
    assert_eq!(restored.status().await.unwrap().keys[0].current, None);
    let refused = restored.rotate(Duration::ZERO, |_| {}).await.unwrap_err();
    assert_eq!(refused.to_string(), gone.to_string());
    assert_eq!(server.request("GET", path, &Value::Null).0, 404, "no key was made again");

    // After the stored data is erased, the tenant can connect again. The old wrapped key still can't be unwrapped.
    restored.erase(&t).await.unwrap();
    restored.ensure_key(&t).await.unwrap();
    let error = connector(&server).unwrap(&t, &old, CONTEXT).await.unwrap_err();
    assert_eq!(error, KeyError::Mismatch(id("tiktok-shop.acme:v1")));
}

#[tokio::test]
async fn each_state_of_the_service_has_its_own_error_and_nothing_is_lost_meanwhile() {
    let Some(mut server) = server() else { return };
    let (t, keys) = (tenant("acme"), connector(&server));
    let wrapped = wrapped(&keys, &t).await;
    let why = async |keys: &KeyService| {
        let error = keys.unwrap(&t, &wrapped, CONTEXT).await.unwrap_err();
        let KeyError::Unavailable { key, why } = error else { panic!("the service is available, but {error}") };
        assert_eq!(key.as_ref(), Some(&wrapped.host_key));
        why
    };
    let service = format!("the key service at {}", server.address().trim_start_matches("http://"));

    let stranger = with_token(&server, &server.create_token(&json!({ "policies": ["default"] })));
    let denied = "refuses update on transit/decrypt/tiktok-shop.acme; allow it in the policy of the token";
    assert_eq!(why(&stranger).await, format!("{service} {denied}"));
    let forged = with_token(&server, "s.CANARY");
    assert_eq!(why(&forged).await, format!("{service} {denied}"));
    assert!(!format!("{forged:?}").contains("CANARY"));
    let mut elsewhere = Options::new(server.address(), Auth::Token(server.root_token().into()));
    elsewhere.mount = "nowhere".to_owned();
    let no_mount = "has no engine at nowhere; enable it there or correct the mount";
    assert_eq!(why(&KeyService::new(elsewhere).unwrap()).await, format!("{service} {no_mount}"));
    server.ok("POST", "transit/keys/tiktok-shop.signing", &json!({ "type": "ed25519" }));
    let error = keys.wrap(&tenant("signing"), &DataKey::new([7; 32]), CONTEXT).await.unwrap_err().to_string();
    let key_type = "has a key of type ed25519, which binds no wrapped key to its tenant; use the type aes256-gcm96";
    assert_eq!(error, format!("key-unavailable(tiktok-shop.signing): {service} {key_type}"));

    server.seal();
    assert_eq!(why(&keys).await, format!("{service} is sealed; unseal it"));
    server.unseal();
    assert_eq!(keys.unwrap(&t, &wrapped, CONTEXT).await.unwrap().expose(), &[7; 32]);

    server.stop();
    let away =
        "can't be reached: Connection refused (os error 111); check the address, the network and the certificate";
    assert_eq!(why(&keys).await, format!("{service} {away}"));
    server.start_again();
    assert_eq!(keys.unwrap(&t, &wrapped, CONTEXT).await.unwrap().expose(), &[7; 32]);
}

/// Waits until the server says that the token was renewed.
async fn until_renewed(server: &Server, token: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (status, answer) = server.request("POST", "auth/token/lookup", &json!({ "token": token }));
        assert_eq!(status, 200, "the token has ended: {answer}");
        if answer["data"]["last_renewal_time"].as_u64().is_some() {
            return;
        }
        assert!(Instant::now() < deadline, "the token was not renewed: {answer}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_lease_is_renewed_before_it_ends_also_while_no_request_is_made() {
    let Some(server) = server() else { return };
    let token = server.create_token(&json!({ "policies": ["connector"], "period": "6s" }));
    let (keys, t) = (with_token(&server, &token), tenant("acme"));
    let wrapped = wrapped(&keys, &t).await;
    until_renewed(&server, &token).await;
    assert_eq!(keys.unwrap(&t, &wrapped, CONTEXT).await.unwrap().expose(), &[7; 32]);
}

#[tokio::test]
async fn an_app_role_logs_in_again_after_its_token_was_revoked_or_can_be_renewed_no_longer() {
    let Some(server) = server() else { return };
    server.ok("POST", "sys/auth/approle", &json!({ "type": "approle" }));
    let role = json!({ "token_policies": ["connector"], "token_ttl": "4s", "token_max_ttl": "6s" });
    server.ok("POST", "auth/approle/role/connector", &role);
    let role_id = server.ok("GET", "auth/approle/role/connector/role-id", &Value::Null)["data"]["role_id"].clone();
    let secret_id = server.ok("POST", "auth/approle/role/connector/secret-id", &json!({}))["data"]["secret_id"].clone();
    let auth = |secret_id: &str| Auth::AppRole {
        mount: "approle".to_owned(),
        role_id: role_id.as_str().unwrap().to_owned(),
        secret_id: secret_id.into(),
    };
    let new = |secret_id| KeyService::new(Options::new(server.address(), auth(secret_id))).unwrap();
    let (keys, t) = (new(secret_id.as_str().unwrap()), tenant("acme"));
    let wrapped = wrapped(&keys, &t).await;

    let accessors = || {
        let answer = server.ok("LIST", "auth/token/accessors", &Value::Null);
        let all = answer["data"]["keys"].as_array().unwrap().iter();
        all.map(|accessor| accessor.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    server.ok("PUT", "sys/leases/revoke-prefix/auth/approle", &Value::Null);
    assert_eq!(keys.unwrap(&t, &wrapped, CONTEXT).await.unwrap().expose(), &[7; 32]);

    // The token ends 6 s after the login at the latest. The host logs in again before that, so there is a new token.
    let (before, deadline) = (accessors(), Instant::now() + Duration::from_secs(60));
    while accessors().is_subset(&before) {
        assert!(Instant::now() < deadline, "the host does not log in again");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(keys.unwrap(&t, &wrapped, CONTEXT).await.unwrap().expose(), &[7; 32]);

    let error = new("CANARY-secret-id").current().await.unwrap_err().to_string();
    assert!(
        error.ends_with("refuses the AppRole: invalid role or secret ID; check the credentials and the role"),
        "{error}"
    );
    assert!(!format!("{keys:?}{:?}", auth("CANARY")).contains("CANARY"));
}

/// Starts a server that replaces the token check of Kubernetes. The server accepts every token as the service account
/// `connector` in the namespace `shop`.
async fn kubernetes() -> SocketAddr {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "status": {
            "authenticated": true,
            "user": { "username": "system:serviceaccount:shop:connector", "uid": "u-1", "groups": [] },
        },
    });
    let reviews = post(move || async move { (http::StatusCode::CREATED, Json(review)) });
    let router = axum::Router::new().route("/apis/authentication.k8s.io/v1/tokenreviews", reviews);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Returns a token of a service account. The signature of the token is wrong, but only a real Kubernetes would check
/// the signature.
fn service_account_token(name: &str) -> String {
    let part = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let head = part(json!({ "alg": "RS256", "kid": "k" }));
    let claims = part(json!({
        "iss": "kubernetes/serviceaccount",
        "sub": format!("system:serviceaccount:shop:{name}"),
        "iat": 1_700_000_000,
        "nbf": 1_700_000_000,
        "exp": 4_102_444_800_u64,
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": name, "uid": "u-1" } },
    }));
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 256]))
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_logs_in_with_the_token_that_the_file_contains_at_that_time() {
    let Some(server) = server() else { return };
    let authority = rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap().cert;
    let config = json!({
        "kubernetes_host": format!("http://{}", kubernetes().await),
        "kubernetes_ca_cert": pem::certificate(authority.der()),
        "disable_local_ca_jwt": true,
    });
    server.ok("POST", "sys/auth/kubernetes", &json!({ "type": "kubernetes" }));
    server.ok("POST", "auth/kubernetes/config", &config);
    let role = json!({
        "bound_service_account_names": ["connector"],
        "bound_service_account_namespaces": ["shop"],
        "token_policies": ["connector"],
        "token_ttl": "1h",
    });
    server.ok("POST", "auth/kubernetes/role/connector", &role);
    let folder = tempfile::tempdir().unwrap();
    let jwt_file = folder.path().join("token");
    let auth = Auth::Kubernetes { mount: "kubernetes".into(), role: "connector".into(), jwt_file: jwt_file.clone() };
    let (keys, t) = (KeyService::new(Options::new(server.address(), auth)).unwrap(), tenant("acme"));

    let missing = keys.current().await.unwrap_err().to_string();
    assert!(
        missing.ends_with("/token: there is no such file; correct the file or its path in the settings"),
        "{missing}"
    );
    fs::write(&jwt_file, service_account_token("stranger")).unwrap();
    let stranger = keys.current().await.unwrap_err().to_string();
    assert!(stranger.contains("refuses the Kubernetes role: "), "{stranger}");
    fs::write(&jwt_file, service_account_token("connector") + "\n").unwrap();
    let wrapped = wrapped(&keys, &t).await;
    assert_eq!(keys.unwrap(&t, &wrapped, CONTEXT).await.unwrap().expose(), &[7; 32]);
}

#[tokio::test]
async fn a_token_file_is_read_again_when_its_token_is_refused() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let first = server.create_token(&json!({ "policies": ["connector"] }));
    fs::write(&file, &first).unwrap();
    let keys = KeyService::new(Options::new(server.address(), Auth::TokenFile(file.clone()))).unwrap();
    let t = tenant("acme");
    let wrapped = wrapped(&keys, &t).await;
    fs::write(&file, server.create_token(&json!({ "policies": ["connector"] }))).unwrap();
    server.ok("POST", "auth/token/revoke", &json!({ "token": first }));
    assert_eq!(keys.unwrap(&t, &wrapped, CONTEXT).await.unwrap().expose(), &[7; 32]);
}

#[tokio::test]
async fn tenants_move_from_host_keys_in_memory_to_the_service() {
    let Some(server) = server() else { return };
    let (storage, t, r) = (storage(), tenant("acme"), revision());
    let earlier = HostKeys::draw().unwrap();
    let sealed = keyring(&storage, earlier.clone()).seal_token(&t, &connection(), &r, b"record").await.unwrap();
    let both = KeySuccession::new(Arc::new(connector(&server)), Arc::new(earlier));
    let ring = keyring(&storage, both);
    assert_eq!(**ring.open_token(&t, &connection(), &r, &sealed).await.unwrap(), *b"record");
    assert!(!ring.status().await.unwrap().is_rotated());
    ring.rotate(Duration::ZERO, |_| {}).await.unwrap();
    let status = ring.status().await.unwrap();
    assert!(status.is_rotated());
    assert_eq!(status.keys[0].host_key, Some(id("tiktok-shop.acme:v1")));
    keyring(&storage, connector(&server)).ensure_key(&t).await.unwrap();
}

/// The tenant `moved` has a data key that the earlier service wraps. The tenant `new` began after the move. This
/// database has no data key of the tenant `shared`, but the earlier service has a key of it, for another database.
#[tokio::test]
async fn after_a_move_between_two_services_a_service_without_a_key_of_the_tenant_leaves_the_erasure_final() {
    let (Some(earlier), Some(current)) = (server(), server()) else { return };
    let mut options = Options::new(current.address(), Auth::Token(current.root_token().into()));
    options.prefix = "new-shop".to_owned();
    let service = KeyService::new(options).unwrap();
    let eraser = earlier.create_token(&json!({ "policies": ["connector", "connector-erase"] }));
    let both = KeySuccession::new(Arc::new(service), Arc::new(with_token(&earlier, &eraser)));

    let (storage, [moved, new, shared]) = (storage(), ["moved", "new", "shared"].map(tenant));
    keyring(&storage, connector(&earlier)).ensure_key(&moved).await.unwrap();
    wrapped(&connector(&earlier), &shared).await;
    let ring = keyring(&storage, both);
    ring.ensure_key(&new).await.unwrap();
    let status = |server: &Server, path: &str| server.request("GET", path, &Value::Null).0;
    assert_eq!(status(&earlier, "transit/keys/tiktok-shop.moved"), 200);
    assert_eq!(status(&current, "transit/keys/new-shop.new"), 200);
    for tenant in [&moved, &new] {
        assert_eq!(ring.destroy_host_key(tenant).await.unwrap(), Destruction::Destroyed, "{tenant}");
        assert_eq!(status(&earlier, &format!("transit/keys/tiktok-shop.{tenant}")), 404);
        assert_eq!(status(&current, &format!("transit/keys/new-shop.{tenant}")), 404);
    }

    let path = "transit/keys/tiktok-shop.shared";
    let next = format!(
        "this database has no data key under {path}; if no other database needs it, an administrator of the key \
         service can run: bao write {path}/config deletion_allowed=true, then bao delete {path}"
    );
    let kept = Destruction::NotAllowed { key: path.to_owned(), next };
    assert_eq!(ring.destroy_host_key(&shared).await.unwrap(), kept);
    assert_eq!(status(&earlier, path), 200, "the key of the other database stays");
}
