//! A small host of the first release of this minor version. Its bindings are generated from the kept WIT package of that
//! release, so it offers exactly the imports that a host of that release offers.
//!
//! It keeps everything in memory, and nothing is sealed. It is for tests only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fake_tiktok_shop::{App, Control};
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use self::generated::Contract;
use self::generated::exports::tiktok_shop::connector::connector as export;
use self::generated::tiktok_shop::connector::storage::{self, Entry, Listed, Loaded, SwapOutcome, Swapped, Table};
use self::generated::tiktok_shop::connector::{app_credentials, types};

mod generated {
    #![allow(unused_qualifications, missing_docs, clippy::allow_attributes_without_reason, reason = "generated")]
    wasmtime::component::bindgen!({
        path: "compatibility/0.2.0/connector.wit",
        world: "contract",
        exports: { default: async },
        with: { "wasi": wasmtime_wasi::p2::bindings },
    });
}

/// A host with one app, one tenant and a storage in memory.
pub(crate) struct FirstHost {
    engine: Engine,
    component: Component,
    linker: Linker<State>,
    app: App,
    fake: Control,
    storage: Arc<Mutex<Storage>>,
}

/// The entries of a table with their revisions, by customer and account.
type Entries = BTreeMap<(String, String), (String, storage::Write)>;

/// What the host stores.
#[derive(Default)]
struct Storage {
    writes: u64,
    tokens: Entries,
    rows: Entries,
}

/// The state of one call.
struct State {
    app: App,
    storage: Arc<Mutex<Storage>>,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: Egress,
}

/// Sends the requests for TikTok Shop's two servers to the fake.
struct Egress {
    fake: SocketAddr,
}

/// The clock of the fake.
struct FakeClock(Duration);

impl FirstHost {
    pub(crate) fn new(component: &Path, fake: &Control) -> Self {
        let engine = Engine::default();
        let component = Component::from_file(&engine, component).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).unwrap();
        types::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).unwrap();
        app_credentials::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).unwrap();
        storage::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).unwrap();
        let app = fake.apps().remove(0);
        Self { engine, component, linker, app, fake: fake.clone(), storage: Arc::default() }
    }

    /// Returns whether this host offers everything that the component imports, and whether the component exports
    /// everything that this host requires.
    pub(crate) fn links(component: &Path, fake: &Control) -> bool {
        let Self { component, linker, .. } = Self::new(component, fake);
        linker.instantiate_pre(&component).and_then(generated::ContractPre::new).is_ok()
    }

    /// Creates a fresh instance, which makes one call.
    async fn instance(&self) -> (Store<State>, Contract) {
        let state = State {
            app: self.app.clone(),
            storage: Arc::clone(&self.storage),
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().wall_clock(FakeClock(Duration::from_secs(self.fake.now()))).build(),
            http: WasiHttpCtx::new(),
            egress: Egress { fake: self.fake.address() },
        };
        let mut store = Store::new(&self.engine, state);
        let contract = Contract::instantiate_async(&mut store, &self.component, &self.linker).await.unwrap();
        (store, contract)
    }

    /// The life of a connection: it is made, renewed, listed, used and ended. `query` is the query of a callback with
    /// this state.
    pub(crate) async fn live(&self, query: &str, state: &str) {
        let customer = &"alice".to_owned();
        /// Makes a call in a fresh instance.
        macro_rules! call {
            ($function:ident $(, $argument:expr)*) => {{
                let (mut store, contract) = self.instance().await;
                contract.tiktok_shop_connector_connector().$function(&mut store $(, $argument)*).await.unwrap()
            }};
        }

        let link = call!(call_authorization_url, None, state).unwrap();
        assert_eq!(link, format!("{}&state={state}", self.app.authorization_link()));
        let callback = export::Callback { query: query.to_owned(), state: state.to_owned() };
        let grant = export::Grant::Callback(callback);
        let connection = call!(call_connect, customer, None, &grant, types::ShopPolicy::All).unwrap();
        assert_eq!(connection.seller_name, "Teapot Corner");
        let refreshed = call!(call_refresh, customer, None, export::Rotation::Forced).unwrap();
        assert!(matches!(refreshed.effect, export::RefreshEffect::Renewed), "{:?}", refreshed.effect);
        let shops = call!(call_list_shops, customer).unwrap();
        assert_eq!(shops.iter().map(|shop| shop.name.as_str()).collect::<Vec<_>>(), ["Teapot Corner"]);
        let connections = call!(call_list_connections, customer).unwrap();
        assert_eq!(connections.len(), 1);
        let linked = call!(call_link_shops, customer, None, &[shops[0].id.clone()]).unwrap();
        assert!(linked.shops[0].linked);
        let token = call!(call_access_token, customer, None, 60).unwrap();
        assert_eq!(token.account, connection.key.account);
        let request = export::CallRequest {
            scope: export::CallScope::Shop(shops[0].id.clone()),
            method: export::HttpMethod::Post,
            path: "/order/202309/orders/search".to_owned(),
            query: vec![("page_size".to_owned(), "2".to_owned())],
            content_type: None,
            body: Some(b"{}".to_vec()),
            max_response_bytes: 1 << 20,
        };
        let answer = call!(call_call, customer, &request).unwrap();
        assert_eq!((answer.http_status, answer.code.as_deref()), (200, Some("0")));
        let forged = call!(call_receive_webhook, None, "00", b"{}").unwrap_err();
        assert!(
            matches!(&forged, types::ConnectorError::InvalidRequest(why) if why.code == "webhook-signature-invalid"),
            "{forged:?}"
        );
        let everything = export::DisconnectTarget::All(None);
        let ended = call!(call_disconnect, customer, &everything, export::RemoteGrant::Revoke).unwrap();
        assert_eq!((ended.remaining.len(), ended.not_revoked.len()), (0, 0));
        assert_eq!(call!(call_list_connections, customer).unwrap().len(), 0);
        let storage = self.storage.lock().unwrap();
        assert_eq!((storage.tokens.len(), storage.rows.len()), (0, 0));
    }
}

impl State {
    fn storage(&self) -> MutexGuard<'_, Storage> {
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl types::Host for State {}

impl app_credentials::Host for State {
    fn apps(&mut self) -> Result<Vec<String>, storage::StorageError> {
        Ok(vec![self.app.app_key.clone()])
    }

    fn of_app(&mut self, app: String) -> Result<app_credentials::Credentials, storage::StorageError> {
        if app != self.app.app_key {
            return Err(storage::StorageError::Refused("there is no such app".to_owned()));
        }
        Ok(app_credentials::Credentials {
            app_key: app,
            app_secret: self.app.app_secret.clone(),
            previous_app_secret: None,
            authorization_link: Some(self.app.authorization_link()),
            allow_http_link: false,
        })
    }
}

impl Storage {
    fn table(&mut self, table: Table) -> &mut Entries {
        match table {
            Table::Tokens => &mut self.tokens,
            Table::Rows => &mut self.rows,
        }
    }
}

/// The age of every entry is zero, because the clock of the fake stands still.
fn entry((revision, write): &(String, storage::Write)) -> Entry {
    Entry { revision: revision.clone(), document: write.document.clone(), secrets: write.secrets.clone(), age_ms: 0 }
}

impl storage::Host for State {
    fn accounts(&mut self, customer: String) -> Result<Vec<String>, storage::StorageError> {
        let storage = self.storage();
        Ok(storage.tokens.keys().filter(|key| key.0 == customer).map(|key| key.1.clone()).collect())
    }

    fn list(&mut self, customer: String) -> Result<Vec<Listed>, storage::StorageError> {
        let storage = self.storage();
        let rows = storage.rows.iter().filter(|(key, _)| key.0 == customer);
        Ok(rows.map(|((_, account), row)| Listed { account: account.clone(), entry: Some(entry(row)) }).collect())
    }

    fn load(&mut self, table: Table, key: types::ConnectionKey) -> Result<Loaded, storage::StorageError> {
        Ok(Loaded { entry: self.storage().table(table).get(&(key.customer, key.account)).map(entry) })
    }

    fn swap(
        &mut self,
        table: Table,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<storage::Write>,
    ) -> Result<Swapped, storage::StorageError> {
        let mut storage = self.storage();
        storage.writes += 1;
        let revision = format!("revision-{}", storage.writes);
        let (entries, key) = (storage.table(table), (key.customer, key.account));
        let found = entries.get(&key);
        let outcome = if found.map(|(revision, _)| revision) != expected.as_ref() {
            SwapOutcome::Stale(found.map(entry))
        } else if let Some(next) = next {
            entries.insert(key, (revision.clone(), next));
            SwapOutcome::Stored(revision)
        } else {
            entries.remove(&key);
            SwapOutcome::Deleted
        };
        Ok(Swapped { outcome })
    }

    fn owners(&mut self, shop: String) -> Result<Vec<types::ConnectionKey>, storage::StorageError> {
        let storage = self.storage();
        let contains = |row: &storage::Write| row.index.shops.iter().any(|found| found.id == shop);
        let rows = storage.rows.iter().filter(|(_, (_, row))| contains(row));
        let key = |(customer, account): &(String, String)| types::ConnectionKey {
            customer: customer.clone(),
            account: account.clone(),
        };
        Ok(rows.map(|(found, _)| key(found)).collect())
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}

impl HostWallClock for FakeClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

type Answer = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _after_response: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        let fake = self.fake;
        Box::new(async move {
            let (mut head, body) = request.into_parts();
            let authority = head.uri.authority().map(ToString::to_string).unwrap_or_default();
            let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            assert!(["auth.tiktok-shops.com", "open-api.tiktokglobalshop.com"].contains(&authority.as_str()));
            head.uri = format!("http://{fake}{path}").parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
            head.headers.insert(HOST, HeaderValue::try_from(authority).map_err(|_| Error::HttpRequestUriInvalid)?);
            let body = Full::new(body.collect().await?.to_bytes());
            let client = Client::builder(TokioExecutor::new()).build_http();
            let sent = client.request(Request::from_parts(head, body)).await;
            let response = sent.map_err(|_| Error::DestinationUnavailable)?;
            let body = |body: hyper::body::Incoming| body.map_err(|_| Error::HttpResponseIncomplete).boxed_unsync();
            let done: Box<dyn Future<Output = _> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response.map(body), done))
        })
    }
}
