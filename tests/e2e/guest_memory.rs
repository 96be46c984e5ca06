//! Tests that search the guest's memory after a call. No secret may be left outside the stack. The tests do not search
//! the stack, because the component does not erase it.
//!
//! A program that embeds a component can't read the component's memory, but it can provide the memory. So these tests
//! provide the memory, and can read it.
#![allow(unsafe_code, reason = "memory that wasmtime shares with a test consists of raw pointers")]
#![allow(clippy::wildcard_enum_match_arm, reason = "the test reads only some sections of a module")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeSet;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_tiktok_shop::{App, Clock as FakeClock, Decision, FakeTikTokShop, Options, SecretKind};
use tiktok_shop_canaries::Canaries;
use tiktok_shop_host::clock::{Clock, ManualClock};
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{CallError, Component, ConnectorHost, CustomerId, TenantId};
use tiktok_shop_tests::{BEGIN, STATE, egress_to, order_search};
use wasmparser::{DataKind, Operator, Parser, Payload};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

const PREVIOUS: &str = "8d1c7b5e3f90a2146bd8e7c5f3a1029b8d7c6e5f";

/// The memory of one instance. It outlives the instance.
struct GuestMemory {
    begin: *mut u8,
    size: AtomicUsize,
}

// SAFETY: the guest writes the memory. The test reads it only while the guest waits in an import, or after the guest is
// gone.
unsafe impl Send for GuestMemory {}
// SAFETY: for the same reason as `Send`.
unsafe impl Sync for GuestMemory {}

impl GuestMemory {
    const LAYOUT: Layout = match Layout::from_size_align(16 << 20, 65_536) {
        Ok(layout) => layout,
        Err(_) => panic!("a layout"),
    };

    fn content(&self) -> Vec<u8> {
        // SAFETY: `size` bytes were handed out, and the guest does not write now.
        unsafe { slice::from_raw_parts(self.begin, self.size.load(Ordering::SeqCst)) }.to_vec()
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        // SAFETY: `begin` was allocated with this layout.
        unsafe { dealloc(self.begin, Self::LAYOUT) };
    }
}

/// The handle through which wasmtime uses the memory.
struct Lent(Arc<GuestMemory>);

// SAFETY: the whole capacity is allocated and zeroed from the start, and never moves. wasmtime asks for no guard pages.
unsafe impl LinearMemory for Lent {
    fn byte_size(&self) -> usize {
        self.0.size.load(Ordering::SeqCst)
    }

    fn byte_capacity(&self) -> usize {
        GuestMemory::LAYOUT.size()
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        wasmtime::ensure!(size <= self.byte_capacity(), "out of memory");
        self.0.size.store(size, Ordering::SeqCst);
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.begin
    }
}

/// The memories of all instances that were created since the last call of [`Scene::look`].
#[derive(Default)]
struct Memories(Mutex<Vec<Arc<GuestMemory>>>);

// SAFETY: see `Lent`.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        assert_eq!((reserved.unwrap_or(0), guard), (0, 0));
        // SAFETY: the layout is not empty.
        let begin = unsafe { alloc_zeroed(GuestMemory::LAYOUT) };
        let memory = Arc::new(GuestMemory { begin, size: AtomicUsize::new(minimum) });
        self.0.lock().unwrap().push(Arc::clone(&memory));
        Ok(Box::new(Lent(memory)))
    }
}

/// A clock that copies the guest's memory whenever the guest reads the time.
struct Peeking {
    clock: ManualClock,
    memories: Arc<Memories>,
    copies: Mutex<Vec<Vec<u8>>>,
}

impl Clock for Peeking {
    fn wall(&self) -> Duration {
        let copy = self.memories.0.lock().unwrap().last().unwrap().content();
        self.copies.lock().unwrap().push(copy);
        self.clock.wall()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// Returns the upper end of the stack, which is the address at which the module's data begins. The stack pointer starts
/// at this address and goes down.
fn end_of_stack(component: &[u8]) -> usize {
    let (mut pointer, mut data) = (None, Vec::new());
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::GlobalSection(globals) if pointer.is_none() => {
                let global = globals.into_iter().next().unwrap().unwrap();
                assert!(global.ty.mutable);
                let Operator::I32Const { value } = global.init_expr.get_operators_reader().read().unwrap() else {
                    panic!("the stack pointer does not start at a constant")
                };
                pointer = Some(usize::try_from(value).unwrap());
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    if let DataKind::Active { offset_expr, .. } = segment.unwrap().kind {
                        let Operator::I32Const { value } = offset_expr.get_operators_reader().read().unwrap() else {
                            panic!("a data segment does not start at a constant")
                        };
                        data.push(usize::try_from(value).unwrap());
                    }
                }
            }
            _ => {}
        }
    }
    let pointer = pointer.unwrap();
    assert!(!data.is_empty() && data.iter().all(|begin| *begin >= pointer), "the data is not behind the stack");
    pointer
}

/// A host with the shipped component, a fake TikTok Shop, and access to the guest's memory.
struct Scene {
    fake: FakeTikTokShop,
    app: App,
    memories: Arc<Memories>,
    clock: Arc<Peeking>,
    host: ConnectorHost,
    end_of_stack: usize,
}

impl Scene {
    fn new() -> Self {
        let options = Options { clock: FakeClock::fixed(BEGIN), ..Options::default() };
        let fake = FakeTikTokShop::start(options).unwrap();
        let app = fake.control().apps().remove(0);
        let component = std::fs::read(xtask::component().unwrap()).unwrap();
        let end_of_stack = end_of_stack(&component);

        let memories = Arc::new(Memories::default());
        let clock = ManualClock::at(Duration::from_secs(BEGIN));
        let clock = Arc::new(Peeking { clock, memories: Arc::clone(&memories), copies: Mutex::default() });
        let credentials = AppCredentials {
            app_key: app.app_key.clone(),
            app_secret: app.app_secret.as_str().into(),
            previous_app_secret: Some(PREVIOUS.into()),
            authorization_link: Some("https://services.tiktokshop.com/open/authorize?service_id=1".to_owned()),
        };
        let host = ConnectorHost::builder()
            .component(Component::Bytes(component))
            .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::from_secs(BEGIN))))))
            .keys(Arc::new(HostKeys::draw().unwrap()))
            .credentials(Arc::new(StaticCredentials::new().with(tenant(), credentials)))
            .clock(Arc::clone(&clock) as Arc<_>)
            .egress(egress_to(fake.address()))
            .guest_memory(Arc::clone(&memories) as Arc<_>)
            .build()
            .unwrap();
        Self { fake, app, memories, clock, host, end_of_stack }
    }

    fn grant(&self, state: &str) -> Grant {
        let control = self.fake.control();
        let query = control.consent(&self.app.service_id, "one-shop", Some(STATE), Decision::Allow).unwrap();
        Grant::Callback { query: query.into(), state: state.into() }
    }

    async fn connect(&self, state: &str) -> Result<(), CallError> {
        self.host.connect(&tenant(), &customer(), None, self.grant(state), ShopPolicy::All).await.map(drop)
    }

    async fn refresh(&self) -> Result<(), CallError> {
        self.host.refresh(&tenant(), &customer(), None, RefreshMode::Forced).await.map(drop)
    }

    /// Searches the memory outside the stack for secrets. Returns first the kinds of secrets that were there while the
    /// last call ran, and second the secrets that are still there after that call. Exactly one call must have run since
    /// this function was last called.
    fn look(&self) -> (BTreeSet<&'static str>, Vec<String>) {
        let mut canaries = Canaries::default();
        canaries.add("app secret", &self.app.app_secret);
        canaries.add("previous app secret", PREVIOUS);
        canaries.add("state", STATE);
        for secret in self.fake.control().issued_secrets() {
            let kind = match secret.kind {
                SecretKind::AccessToken => "access token",
                SecretKind::AuthorizationCode => "authorization code",
                SecretKind::RefreshToken => "refresh token",
                SecretKind::ShopCipher => "shop cipher",
            };
            canaries.add(kind, secret.value);
        }
        for request in self.fake.control().requests() {
            if let Some(sign) = request.parameter("sign") {
                canaries.add("signature", sign);
            }
        }
        let found = |memory: &[u8]| canaries.found_in(&memory[self.end_of_stack..]);
        let copies = std::mem::take(&mut *self.clock.copies.lock().unwrap());
        let during = copies.iter().flat_map(|copy| found(copy)).map(|found| found.kind).collect();

        let memory = self.memories.0.lock().unwrap().pop().unwrap();
        assert!(self.memories.0.lock().unwrap().is_empty(), "one call must create one memory");
        assert_eq!(Arc::strong_count(&memory), 1, "the instance must be gone");
        (during, found(&memory.content()).iter().map(ToString::to_string).collect())
    }
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn customer() -> CustomerId {
    "alice".parse().unwrap()
}

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn a_successful_call_leaves_no_secret_in_the_guests_memory() {
    let scene = Scene::new();
    let link = scene.host.authorization_url(&tenant(), None, STATE.into()).await.unwrap();
    assert!(link.expose().ends_with(STATE));
    assert_eq!(scene.look().1, NOTHING, "authorization-url");

    scene.connect(STATE).await.unwrap();
    let (during, after) = scene.look();
    for kind in ["access token", "app secret", "authorization code", "refresh token"] {
        assert!(during.contains(kind), "the search must find secrets that are in use: {during:?}");
    }
    assert_eq!(after, NOTHING, "connect");

    scene.refresh().await.unwrap();
    let (during, after) = scene.look();
    for kind in ["access token", "app secret", "refresh token", "shop cipher"] {
        assert!(during.contains(kind), "the search must find secrets that are in use: {during:?}");
    }
    assert_eq!(after, NOTHING, "refresh");

    let shops = scene.host.list_shops(&tenant(), &customer()).await.unwrap();
    assert_eq!(scene.look().1, NOTHING, "list-shops");
    assert_eq!(scene.host.list_connections(&tenant(), &customer()).await.unwrap().len(), 1);
    assert_eq!(scene.look().1, NOTHING, "list-connections");

    let token = scene.host.access_token(&tenant(), &customer(), None, Duration::from_secs(60)).await.unwrap();
    assert!(!token.token.expose().is_empty());
    assert_eq!(scene.look().1, NOTHING, "access-token");

    let [shop] = shops.as_slice() else { panic!("{shops:?}") };
    let response = scene.host.call(&tenant(), &customer(), order_search(&shop.id)).await.unwrap();
    assert!(response.is_success(), "{response:?}");
    let (during, after) = scene.look();
    for kind in ["access token", "app secret", "shop cipher"] {
        assert!(during.contains(kind), "the search must find secrets that are in use: {during:?}");
    }
    assert_eq!(after, NOTHING, "call");
}

#[tokio::test]
async fn a_failed_call_leaves_no_secret_in_the_guests_memory() {
    let scene = Scene::new();
    scene.connect("another state").await.unwrap_err();
    assert_eq!(scene.look().1, NOTHING, "the state does not match");
    scene.connect(STATE).await.unwrap();
    scene.look();
    scene.fake.control().revoke("one-shop").unwrap();
    scene.refresh().await.unwrap_err();
    let (during, after) = scene.look();
    assert!(during.contains("refresh token"), "{during:?}");
    assert_eq!(after, NOTHING, "the refresh token is refused");
}
