//! The shipped component on an engine of the bench's own. The host library has no setting that switches its limits off,
//! or that opens a new connection for each request. This engine has both, so that figures can show the cost of the
//! limits and the gain of the pooled client. It stores in memory, and seals nothing.

mod transport;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use tiktok_shop_host::limits::Limits;
use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits, StoreLimitsBuilder,
    UpdateDeadline,
};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::{clocks, io, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use self::bindings::exports::tiktok_shop::connector::connector as export;
use self::bindings::tiktok_shop::connector::storage::{self, Entry, Listed, Loaded, SwapOutcome, Swapped, Table};
use self::bindings::tiktok_shop::connector::{app_credentials, types};
pub(crate) use self::transport::Transport;
use crate::platform::APP;

/// The bindings of the world `contract`.
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "contract",
        imports: { default: trappable },
        exports: { default: async },
        with: { "wasi": wasmtime_wasi::p2::bindings },
    });
}

/// The time between two ticks of the epoch, as in the host library.
const TICK: Duration = Duration::from_millis(10);
/// The customer whose connection is used.
const CUSTOMER: &str = "customer-0";

/// Whether the engine ends guests that compute for too long or that use too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    Yes,
    No,
}

/// The component on an engine. A clone uses the same engine and the same storage.
#[derive(Clone)]
pub(crate) struct OwnEngine {
    contract: bindings::ContractPre<State>,
    limited: Limited,
    transport: Transport,
    stored: Arc<Mutex<Stored>>,
}

#[derive(Default)]
struct Stored {
    writes: u64,
    tokens: BTreeMap<Place, Entry>,
    rows: BTreeMap<Place, Entry>,
}

impl OwnEngine {
    /// Compiles the component.
    pub(crate) fn new(component: &Path, limited: Limited, transport: Transport) -> Result<Self> {
        let contract = compile(&std::fs::read(component)?, limited).map_err(shown)?;
        if limited == Limited::Yes {
            let weak = contract.engine().weak();
            std::thread::spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    tick();
                }
            });
        }
        Ok(Self { contract, limited, transport, stored: Arc::default() })
    }

    /// Connects the only customer.
    pub(crate) async fn connect(&self) -> Result<()> {
        let (mut wasm_store, instance) = self.instance().await.map_err(shown)?;
        let guest = instance.tiktok_shop_connector_connector();
        let (customer, grant) = (CUSTOMER.to_owned(), export::Grant::Code("bench-authorization-code".to_owned()));
        let connected = guest.call_connect(&mut wasm_store, &customer, None, &grant, types::ShopPolicy::All).await;
        connected.map_err(shown)?.map(drop).map_err(|error| anyhow!("connect failed: {error:?}"))
    }

    /// Lists the shops of the customer.
    pub(crate) async fn list_shops(&self) -> Result<()> {
        let (mut wasm_store, instance) = self.instance().await.map_err(shown)?;
        let guest = instance.tiktok_shop_connector_connector();
        match guest.call_list_shops(&mut wasm_store, &CUSTOMER.to_owned()).await.map_err(shown)? {
            Ok(shops) if shops.len() == 1 => Ok(()),
            other => bail!("the list of shops is wrong: {other:?}"),
        }
    }

    /// Renews the tokens of the customer.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let (mut wasm_store, instance) = self.instance().await.map_err(shown)?;
        let guest = instance.tiktok_shop_connector_connector();
        let (customer, rotation) = (CUSTOMER.to_owned(), export::Rotation::Forced);
        let refreshed = guest.call_refresh(&mut wasm_store, &customer, None, rotation).await;
        refreshed.map_err(shown)?.map(drop).map_err(|error| anyhow!("refresh failed: {error:?}"))
    }

    /// Creates a fresh instance, as the host library does for each call.
    async fn instance(&self) -> wasmtime::Result<(Store<State>, bindings::Contract)> {
        let limits = Limits::default();
        let state = State {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            transport: self.transport.clone(),
            stored: Arc::clone(&self.stored),
            growth: StoreLimitsBuilder::new()
                .memory_size(limits.memory_bytes)
                .table_elements(limits.table_elements)
                .build(),
            ticks_left: 500,
        };
        let mut wasm_store = Store::new(self.contract.engine(), state);
        if self.limited == Limited::Yes {
            wasm_store.data_mut().table.set_max_capacity(limits.handles);
            wasm_store.data_mut().http.set_field_size_limit(limits.header_bytes);
            wasm_store.limiter(|state| &mut state.growth);
            wasm_store.set_hostcall_fuel(limits.hostcall_bytes);
            wasm_store.set_max_component_handles(limits.handles);
            wasm_store.set_epoch_deadline(1);
            wasm_store.epoch_deadline_callback(|mut wasm_store| {
                let left = &mut wasm_store.data_mut().ticks_left;
                *left = left.checked_sub(1).ok_or(wasmtime::Trap::Interrupt)?;
                Ok(UpdateDeadline::Yield(1))
            });
        }
        let instance = self.contract.instantiate_async(&mut wasm_store).await?;
        Ok((wasm_store, instance))
    }
}

fn compile(component: &[u8], limited: Limited) -> wasmtime::Result<bindings::ContractPre<State>> {
    let mut config = Config::new();
    config.epoch_interruption(limited == Limited::Yes);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(&Limits::default())));
    let engine = Engine::new(&config)?;
    let mut linker = Linker::new(&engine);
    link(&mut linker)?;
    bindings::ContractPre::new(linker.instantiate_pre(&Component::new(&engine, component)?)?)
}

/// Converts an error of wasmtime, which is no `std::error::Error`.
pub(crate) fn shown(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}

#[expect(clippy::disallowed_methods, reason = "the thread of the ticks has nothing else to do")]
fn tick() {
    std::thread::sleep(TICK);
}

/// Returns the configuration of the pool that the host library uses.
fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let calls = limits.concurrent_calls + limits.concurrent_webhooks;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls * 4)
        .max_core_instances_per_component(4)
        .total_tables(calls * 4)
        .max_tables_per_component(4)
        .table_elements(limits.table_elements)
        .total_memories(calls)
        .max_memories_per_component(1)
        .max_memory_size(limits.memory_bytes)
        .total_stacks(calls);
    pool
}

/// The state of one call.
struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    transport: Transport,
    stored: Arc<Mutex<Stored>>,
    growth: StoreLimits,
    ticks_left: u64,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.transport, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Tells the linker which data the functions of `wasi:io` get.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, |state| state.clocks())?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, |state| state.clocks())?;
    random::random::add_to_linker::<_, WasiRandom>(linker, |state| state.random())?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    app_credentials::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    storage::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl State {
    fn stored<T>(&self, access: impl FnOnce(&mut Stored) -> T) -> T {
        access(&mut self.stored.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The customer and the account of an entry.
type Place = (String, String);

fn place(key: types::ConnectionKey) -> Place {
    (key.customer, key.account)
}

impl Stored {
    fn table(&mut self, table: Table) -> &mut BTreeMap<Place, Entry> {
        match table {
            Table::Tokens => &mut self.tokens,
            Table::Rows => &mut self.rows,
        }
    }
}

/// Returns the entries of a customer with their accounts.
fn of_customer<'a>(table: &'a BTreeMap<Place, Entry>, customer: &'a str) -> impl Iterator<Item = (String, &'a Entry)> {
    let entries = table.range((customer.to_owned(), String::new())..);
    entries.take_while(move |(key, _)| key.0 == customer).map(|((_, account), entry)| (account.clone(), entry))
}

/// The result of an import. The outer error would end the guest with a trap.
type Reply<T> = wasmtime::Result<Result<T, storage::StorageError>>;

impl types::Host for State {}

impl app_credentials::Host for State {
    fn apps(&mut self) -> Reply<Vec<String>> {
        Ok(Ok(vec![APP.0.to_owned()]))
    }

    fn of_app(&mut self, app_key: String) -> Reply<app_credentials::Credentials> {
        let app_secret = APP.1.to_owned();
        Ok(Ok(app_credentials::Credentials {
            app_key,
            app_secret,
            previous_app_secret: None,
            authorization_link: None,
            allow_http_link: false,
        }))
    }
}

impl storage::Host for State {
    fn accounts(&mut self, customer: String) -> Reply<Vec<String>> {
        let accounts =
            |stored: &mut Stored| of_customer(&stored.tokens, &customer).map(|(account, _)| account).collect();
        Ok(Ok(self.stored(accounts)))
    }

    fn list(&mut self, customer: String) -> Reply<Vec<Listed>> {
        let listed = |(account, entry): (String, &Entry)| Listed { account, entry: Some(entry.clone()) };
        Ok(Ok(self.stored(|stored| of_customer(&stored.rows, &customer).map(listed).collect())))
    }

    fn load(&mut self, table: Table, key: types::ConnectionKey) -> Reply<Loaded> {
        Ok(Ok(self.stored(|stored| Loaded { entry: stored.table(table).get(&place(key)).cloned() })))
    }

    fn swap(
        &mut self,
        table: Table,
        key: types::ConnectionKey,
        expected: Option<String>,
        next: Option<storage::Write>,
    ) -> Reply<Swapped> {
        let outcome = self.stored(|stored| {
            stored.writes += 1;
            let (key, revision) = (place(key), stored.writes.to_string());
            let entries = stored.table(table);
            let found = entries.get(&key).cloned();
            if found.as_ref().map(|entry| &entry.revision) != expected.as_ref() {
                return SwapOutcome::Stale(found);
            }
            let Some(storage::Write { document, secrets, index: _ }) = next else {
                entries.remove(&key);
                return SwapOutcome::Deleted;
            };
            // No call loads a claimed record, so the age does not matter.
            entries.insert(key, Entry { revision: revision.clone(), document, secrets, age_ms: 0 });
            SwapOutcome::Stored(revision)
        });
        Ok(Ok(Swapped { outcome }))
    }

    /// No measured operation asks for owners.
    fn owners(&mut self, _: String) -> Reply<Vec<types::ConnectionKey>> {
        Ok(Ok(Vec::new()))
    }
}
