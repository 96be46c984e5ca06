//! The imports of the component: each one asks the simulated host for the effect that the component needs.

use std::sync::Arc;

use serde_json::{Value, json};
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::connection::{Row, document};
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey, CustomerId};
use tiktok_shop_connector_core::ports::{Effects as _, Entry, Revision, StorageError, Swapped, TokenValue, TokenWrite};
use tiktok_shop_connector_core::secret::{AppSecret, SecretBytes};
use tiktok_shop_connector_core::time::UnixSeconds;
use tiktok_shop_simulation::Host;
use wasmtime::StoreContextMut;
use wasmtime::component::Val;
use wasmtime::component::types::ComponentFunc;
use wasmtime::{Result, bail};

use crate::http::{self, Thing};
use crate::transcript::Transcript;
use crate::values::{bytes, field, option, read, text, write, write_all, write_text};

/// The host's side of one instance.
pub(crate) struct Guest {
    pub(crate) host: Arc<Host>,
    pub(crate) transcript: Option<Arc<Transcript>>,
    /// The objects of `wasi:http` and `wasi:io`, by their numbers.
    pub(crate) things: Vec<Thing>,
    /// The second half of a random number of 128 bits. The component draws such a number in two halves, and the
    /// simulated host draws it at once.
    half: Option<u64>,
}

impl Guest {
    pub(crate) fn new(host: Arc<Host>, transcript: Option<Arc<Transcript>>) -> Self {
        Self { host, transcript, things: Vec::new(), half: None }
    }
}

/// Runs a function that the component imports. `function` is its name with its interface, for example `storage.load`.
pub(crate) async fn import(
    mut store: StoreContextMut<'_, Guest>,
    function: Arc<str>,
    ty: ComponentFunc,
    arguments: &[Val],
    results: &mut [Val],
) -> Result<()> {
    let arguments = http::with_numbers(&mut store, arguments)?;
    let call = store.data().host.call();
    // A transcript has one line for each request, and `http` writes it.
    let transcript = store.data().transcript.clone().filter(|_| !http::is_of_http(&function));
    if let Some(transcript) = &transcript {
        let mut line = String::from("{\"import\":");
        write_text(&mut line, &function);
        line.push_str(",\"arguments\":");
        let types = ty.params();
        write_all(&mut line, ['[', ']'], types.zip(&arguments), |text, ((_, ty), value)| write(text, &ty, value));
        transcript.add(call, line);
    }
    let guest = store.data_mut();
    let answer = if http::is_of_http(&function) {
        http::answer(guest, &function, &arguments).await?
    } else {
        answer(guest, &function, &arguments).await?
    };
    if let (Some(ty), Some(result)) = (ty.results().next(), results.first_mut()) {
        *result = read(&mut store, &ty, &answer)?;
        if let Some(transcript) = transcript {
            let mut rest = String::from(",\"answer\":");
            write(&mut rest, &ty, result);
            transcript.end(call, &rest);
        }
    }
    Ok(())
}

/// Answers a call to the clocks, the credentials or the storage.
async fn answer(guest: &mut Guest, function: &str, arguments: &[Val]) -> Result<Value> {
    let host = &guest.host;
    Ok(match (function, arguments) {
        ("wall-clock.now", []) => json!({"seconds": seconds(host.wall()), "nanoseconds": 0}),
        ("monotonic-clock.now", []) => json!(host.now().monotonic.as_nanos().to_string()),
        ("random.get-random-u64", []) => {
            let drawn = guest.half.take().unwrap_or_else(|| {
                let drawn = u128::from_le_bytes(host.random());
                guest.half = Some(drawn as u64);
                (drawn >> 64) as u64
            });
            json!(drawn.to_string())
        }
        ("app-credentials.apps", []) => result(host.apps().await, |apps| json!(apps)),
        ("app-credentials.of-app", [app]) => result(host.credentials(text(app)).await, |app| {
            json!({
                "app-key": app.app_key,
                "app-secret": app.app_secret.expose(),
                "previous-app-secret": app.previous_app_secret.as_ref().map(AppSecret::expose),
                "authorization-link": app.authorization_link,
                "allow-http-link": app.link_scheme == LinkScheme::HttpsOrHttp,
            })
        }),
        ("storage.accounts", [customer]) => result(host.accounts(&parse_customer(customer)).await, |accounts| {
            accounts.iter().map(AccountId::as_str).collect()
        }),
        ("storage.list", [customer]) => result(host.list_rows(&parse_customer(customer)).await, |rows| {
            rows.into_iter().map(|listed| listed_json(listed.row.unwrap())).collect()
        }),
        ("storage.load", [table, key]) => match text(table) {
            "tokens" => {
                result(host.load_token(&parse_key(key)).await, |entry| json!({"entry": entry.as_ref().map(token_json)}))
            }
            _ => result(host.load_row(&parse_key(key)).await, |entry| json!({"entry": entry.as_ref().map(row_json)})),
        },
        ("storage.swap", [table, key, expected, next]) => {
            let (key, next) = (parse_key(key), option(next));
            let expected = option(expected).map(|revision| Revision(text(revision).to_owned()));
            if text(table) == "tokens" {
                let next = next.map(parse_token);
                let swapped = host.swap_token(&key, expected.as_ref(), next).await;
                result(swapped, |swapped| swapped_json(&swapped, token_json))
            } else {
                let next = next.map(|next| parse_row(&key, next));
                let swapped = host.swap_row(&key, expected.as_ref(), next.as_ref()).await;
                result(swapped, |swapped| swapped_json(&swapped, row_json))
            }
        }
        ("storage.owners", [shop]) => result(host.owners(text(shop)).await, |keys| {
            let json =
                |key: &ConnectionKey| json!({"customer": key.customer.as_str(), "account": key.account.as_str()});
            keys.iter().map(json).collect()
        }),
        _ => bail!("the simulated host has no {function}"),
    })
}

fn result<T>(result: Result<T, StorageError>, json: impl FnOnce(T) -> Value) -> Value {
    match result {
        Ok(value) => json!({"ok": json(value)}),
        Err(StorageError::Unavailable(text)) => json!({"err": {"case": "unavailable", "value": text}}),
        Err(StorageError::Refused(text)) => json!({"err": {"case": "refused", "value": text}}),
        Err(StorageError::RowChanged(Revision(revision)) | StorageError::RowUnreadable(Revision(revision), _)) => {
            json!({"err": {"case": "changed", "value": revision}})
        }
    }
}

fn seconds(at: UnixSeconds) -> String {
    at.seconds().to_string()
}

fn parse_customer(customer: &Val) -> CustomerId {
    CustomerId::parse(text(customer).to_owned()).unwrap()
}

fn parse_key(key: &Val) -> ConnectionKey {
    let account = AccountId::parse(text(field(key, "account")).to_owned()).unwrap();
    ConnectionKey { customer: parse_customer(field(key, "customer")), account }
}

fn parse_token(write: &Val) -> TokenWrite {
    let due = option(field(field(write, "index"), "refresh-due-at"));
    let due = due.map(|due| match due {
        Val::U64(seconds) => UnixSeconds::new(*seconds),
        other => panic!("{other:?} is no time"),
    });
    TokenWrite { bytes: SecretBytes::new(bytes(field(write, "secrets"))), refresh_due_at: due }
}

/// Reads a row. The native core must write it in the same form.
fn parse_row(key: &ConnectionKey, write: &Val) -> Row {
    let (text, secrets) = (text(field(write, "document")), bytes(field(write, "secrets")));
    let row = document::decode(key.clone(), text, &secrets).unwrap();
    assert_eq!(document::encode(&row).as_deref(), Some(text));
    assert!(document::encode_secrets(&row).unwrap().expose() == secrets);
    row
}

fn token_json(entry: &Entry<TokenValue>) -> Value {
    let secrets = str::from_utf8(entry.value.bytes.expose()).unwrap();
    entry_json(&entry.revision, "", secrets, entry.value.age_ms)
}

fn row_json(entry: &Entry<Row>) -> Value {
    let (document, secrets) =
        (document::encode(&entry.value).unwrap(), document::encode_secrets(&entry.value).unwrap());
    entry_json(&entry.revision, &document, str::from_utf8(secrets.expose()).unwrap(), 0)
}

/// A row in a list. The simulated host does not tell its revision, and the component does not read it.
fn listed_json(row: Row) -> Value {
    let account = row.connection.key.account.as_str().to_owned();
    json!({"account": account, "entry": row_json(&Entry { revision: Revision("unknown".to_owned()), value: row })})
}

fn entry_json(Revision(revision): &Revision, document: &str, secrets: &str, age_ms: u32) -> Value {
    json!({"revision": revision, "document": document, "secrets": {"text": secrets}, "age-ms": age_ms.to_string()})
}

fn swapped_json<T>(swapped: &Swapped<T>, json: impl Fn(&Entry<T>) -> Value) -> Value {
    let outcome = match swapped {
        Swapped::Stored(Revision(revision)) => json!({"case": "stored", "value": revision}),
        Swapped::Deleted => json!({"case": "deleted"}),
        Swapped::Stale(entry) => json!({"case": "stale", "value": entry.as_ref().map(json)}),
    };
    json!({"outcome": outcome})
}
