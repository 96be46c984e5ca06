//! Runs the scenario file `tests/scenario/scenario.json` on the reference host. The small hosts in `examples/` run the
//! same file. `tests/scenario/README.md` describes its steps.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fake_tiktok_shop::{Decision, WebhookDelivery, catalogue};
use serde_json::{Value, json};
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::Connection;
use tiktok_shop_host::deadlines::Deadlines;
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode};
use tiktok_shop_host::seal::{DataKey, KeyError, KeyProvider};
use tiktok_shop_host::storage::{HostStorage, StorageError, WrappedKey};
use tiktok_shop_host::{CallError, ConnectorHost, HostKeyId, TenantId};
use tiktok_shop_tests::{Access, Interceptor, Passage, STATE, Stage, customer_id, egress_to, tenant};

const SCENARIO: &str = include_str!("../scenario/scenario.json");

/// No server listens on the port of the discard protocol.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

#[tokio::test]
async fn the_reference_host_plays_every_scenario() {
    let file: Value = serde_json::from_str(SCENARIO).unwrap();
    for scenario in file["scenarios"].as_array().unwrap() {
        let mut player = Player::new(&scenario["host"]);
        for (at, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
            if let Err(mismatch) = player.play(step).await {
                panic!("{}, step {}: {mismatch}", scenario["name"], at + 1);
            }
        }
    }
}

/// What has been arranged for one scenario.
struct Player {
    stage: Stage,
    script: Arc<Script>,
    scene: Scene,
    deadlines: Deadlines,
    is_upstream_up: bool,
    are_ciphers_readable: bool,
}

/// What a call needs besides its arguments.
#[derive(Clone)]
struct Scene {
    host: ConnectorHost,
    /// The query of the latest callback.
    callback: String,
    /// The oldest webhook that is due.
    webhook: Option<WebhookDelivery>,
}

impl Player {
    fn new(settings: &Value) -> Self {
        let stage = Stage::new();
        let script = Arc::new(Script::default());
        stage.intercept(Arc::clone(&script) as Arc<_>);
        let setting = |name: &str| settings[name].as_u64().map(Duration::from_millis);
        let mut deadlines = Deadlines::default();
        if let Some(wait) = setting("request-deadline-ms") {
            deadlines = Deadlines { first_byte: wait, between_bytes: wait, ..deadlines };
        }
        if let Some(save) = setting("save-deadline-ms") {
            deadlines.save = save;
        }
        let scene = Scene { host: stage.host.clone(), callback: String::new(), webhook: None };
        let mut player = Self { stage, script, scene, deadlines, is_upstream_up: true, are_ciphers_readable: true };
        player.rebuild();
        player
    }

    /// Builds the host anew, with what the steps have arranged.
    fn rebuild(&mut self) {
        let mut builder = self.stage.host_builder().deadlines(self.deadlines);
        if !self.is_upstream_up {
            builder = builder.egress(egress_to(NOWHERE));
        }
        if !self.are_ciphers_readable {
            builder = builder.keys(Arc::new(NoKeys));
        }
        self.scene.host = builder.build().unwrap();
    }

    async fn play(&mut self, step: &Value) -> Result<(), String> {
        let fake = &self.stage.fake;
        let service = fake.apps()[0].service_id.clone();
        let (kind, value) = step.as_object().unwrap().iter().find(|(name, _)| is_kind(name)).unwrap();
        match kind.as_str() {
            "call" => {
                if value == "receive-webhook" {
                    self.scene.webhook = fake.webhooks_due().into_iter().next();
                }
                self.scene.check(step).await?;
                if value == "receive-webhook" && step["expect"].get("ok").is_some() {
                    fake.webhook_answered(self.scene.webhook.take().unwrap().number, Some(200)).unwrap();
                }
            }
            "consent" => {
                let decision = if value["decision"] == "allow" { Decision::Allow } else { Decision::Refuse };
                self.scene.callback = self.stage.callback(text(&value["seller"]), decision);
            }
            "advance" => self.stage.advance(value.as_u64().unwrap()),
            "fault" => {
                let (name, path) = (text(&value["name"]), text(&value["path"]));
                let (_, fault) = catalogue().into_iter().find(|(known, _)| known == name).unwrap();
                for _ in 0..value["times"].as_u64().unwrap() {
                    fake.fault_next(path, name, fault.clone());
                }
            }
            "switches" => {
                let mut switches = serde_json::to_value(fake.switches()).unwrap();
                switches.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
                fake.set_switches(serde_json::from_value(switches).unwrap());
            }
            "seller" => match text(&step["does"]) {
                "deauthorize" => fake.deauthorize(&service, text(value)).unwrap(),
                "revoke" => fake.revoke(text(value)).unwrap(),
                other => panic!("a seller can't {other}"),
            },
            "requests" => {
                let mut counts = BTreeMap::<_, u64>::new();
                for request in fake.requests() {
                    *counts.entry(request.path).or_default() += 1;
                }
                self.stage.clear_requests();
                return equal("requests", value, &json!(counts));
            }
            "storage-throws" => *lock(&self.script.throws) = (!value.is_null()).then(|| Throws::new(value)),
            "race" => *lock(&self.script.race) = Some((value.clone(), self.scene.clone())),
            "upstream" => {
                self.is_upstream_up = value == "up";
                self.rebuild();
            }
            "ciphers" => {
                self.are_ciphers_readable = value == "readable";
                self.rebuild();
            }
            other => panic!("unknown step {other}"),
        }
        lock(&self.script.mismatch).take().map_or(Ok(()), Err)
    }
}

/// Tells whether a member of a step says what the step does. The other members are details of it.
fn is_kind(name: &str) -> bool {
    !["with", "expect", "does"].contains(&name)
}

impl Scene {
    /// Makes the call of a step, and compares its outcome with the expectation.
    async fn check(&self, step: &Value) -> Result<(), String> {
        let export = text(&step["call"]);
        let actual = match self.call(export, &step["with"]).await {
            Ok(value) => json!({"ok": value}),
            Err(CallError::Connector(error)) => {
                json!({"error": error.action().as_str(), "code": error.failure().code})
            }
            Err(other) => return Err(format!("{export}: the host ended the call: {other}")),
        };
        if matches(&step["expect"], &actual) { Ok(()) } else { equal(export, &step["expect"], &actual) }
    }

    async fn call(&self, export: &str, with: &Value) -> Result<Value, CallError> {
        let (host, ours) = (&self.host, tenant(0));
        let customer = customer_id(with["customer"].as_str().unwrap_or("nobody"));
        Ok(match export {
            "connect" => {
                let state = with["state"].as_str().unwrap_or(STATE).into();
                let grant = Grant::Callback { query: self.callback.as_str().into(), state };
                let policy = text(&with["shops"]).parse().unwrap();
                connection(&host.connect(&ours, &customer, None, grant, policy).await?)
            }
            "refresh" => {
                let mode = if with["rotation"] == "forced" { RefreshMode::Forced } else { RefreshMode::WhenDue };
                let refreshed = host.refresh(&ours, &customer, None, mode).await?;
                let effect = match refreshed.effect {
                    RefreshEffect::Renewed => "renewed",
                    RefreshEffect::ShopsRead => "shops-read",
                    RefreshEffect::NothingSent(_) => "nothing-sent",
                };
                json!({"effect": effect, "connection": connection(&refreshed.connection)})
            }
            "list-shops" => {
                let shops = host.list_shops(&ours, &customer).await?;
                json!(shops.iter().map(|shop| shop.id.as_str()).collect::<Vec<_>>())
            }
            "list-connections" => {
                let connections = host.list_connections(&ours, &customer).await?;
                json!(connections.iter().map(connection).collect::<Vec<_>>())
            }
            "call" => {
                let scope = CallScope::Shop(text(&with["shop"]).parse().unwrap());
                let method =
                    HttpMethod::ALL.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(text(&with["method"])));
                let mut request =
                    CallRequest::new(scope, method.unwrap(), text(&with["path"])).json(text(&with["body"]));
                for pair in with["query"].as_array().unwrap() {
                    request = request.query(text(&pair[0]), text(&pair[1]));
                }
                let answer = host.call(&ours, &customer, request).await?;
                json!({"http-status": answer.http_status, "code": answer.code})
            }
            "disconnect" => {
                assert_eq!(with["target"], "all");
                let remote = if with["remote"] == "revoke" { RemoteGrant::Revoke } else { RemoteGrant::Keep };
                let ended = host.disconnect(&ours, &customer, DisconnectTarget::All(None), remote).await?;
                let not_revoked = ended.not_revoked.iter().map(|one| one.shop.as_ref().map(|shop| shop.as_str()));
                json!({
                    "remaining": ended.remaining.iter().map(connection).collect::<Vec<_>>(),
                    "not-revoked": not_revoked.collect::<Vec<_>>(),
                })
            }
            "receive-webhook" => {
                let webhook = self.webhook.as_ref().expect("a webhook that is due");
                let mut body = webhook.body.clone().into_bytes();
                if with["body"] == "tampered" {
                    body.push(b' ');
                }
                let signature = webhook.header("authorization").expect("a signature");
                let webhook = host.receive_webhook(&ours, None, signature, body).await?;
                let owners = webhook.owners.iter();
                let owners = owners.map(|one| json!({"customer": one.key.customer.as_str(), "may-use": one.may_use}));
                json!({
                    "event-type": webhook.event_type,
                    "shop": webhook.shop.as_ref().map(|shop| shop.as_str()),
                    "effect": webhook.effect.as_str(),
                    "owners": owners.collect::<Vec<_>>(),
                })
            }
            other => panic!("unknown export {other}"),
        })
    }
}

/// What the scenario file says about a connection.
fn connection(one: &Connection) -> Value {
    let shops = one.shops.iter().map(|shop| {
        let standing = shop.standing.as_str();
        json!({"id": shop.id.as_str(), "standing": standing, "linked": shop.linked, "cipher": shop.cipher.is_some()})
    });
    json!({
        "customer": one.key.customer.as_str(),
        "seller": one.seller_name,
        "status": one.status.as_str(),
        "shops": shops.collect::<Vec<_>>(),
        "last-failure": one.last_failure.as_ref().map(|past| past.failure.code.as_str()),
    })
}

/// An object matches if its members match those of the same name. Everything else must be equal.
fn matches(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(members), Value::Object(_)) => members.iter().all(|(name, one)| matches(one, &actual[name])),
        (Value::Array(items), Value::Array(others)) => {
            items.len() == others.len() && items.iter().zip(others).all(|(item, other)| matches(item, other))
        }
        _ => expected == actual,
    }
}

fn equal(what: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    if expected == actual { Ok(()) } else { Err(format!("{what}\n  expected {expected}\n  but was  {actual}")) }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The failures and races that a scenario lets the storage have.
#[derive(Default)]
struct Script {
    throws: Mutex<Option<Throws>>,
    /// The race and the scene in which it takes place.
    race: Mutex<Option<(Value, Scene)>>,
    /// The first expectation that a step of the race did not meet.
    mismatch: Mutex<Option<String>>,
}

struct Throws {
    function: String,
    after: u64,
    /// None means that the storage goes on failing.
    times: Option<u64>,
}

impl Throws {
    fn new(value: &Value) -> Self {
        let (after, times) = (value["after"].as_u64().unwrap(), value["times"].as_u64());
        Self { function: text(&value["function"]).to_owned(), after, times }
    }

    /// Tells whether this access fails.
    fn fails(&mut self, function: &str) -> bool {
        if self.function != function || self.times == Some(0) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.times = self.times.map(|times| times - 1);
        true
    }
}

#[async_trait]
impl Interceptor for Script {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let function = match access.method() {
            "accounts" => "accounts",
            "load_token" => "load(tokens)",
            "swap_token" => "swap(tokens)",
            "list_rows" => "list",
            "load_row" => "load(rows)",
            "swap_row" => "swap(rows)",
            _ => return Passage::Forward,
        };
        let race = lock(&self.race).take_if(|(race, _)| race["before"] == function);
        if let Some((race, scene)) = race {
            for step in race["steps"].as_array().unwrap() {
                if let Err(mismatch) = scene.check(step).await {
                    lock(&self.mismatch).get_or_insert(mismatch);
                }
            }
        }
        let fails = lock(&self.throws).as_mut().is_some_and(|throws| throws.fails(function));
        if fails {
            return Passage::Fail(StorageError::Unavailable("the scenario lets the storage fail".to_owned()));
        }
        Passage::Forward
    }
}

/// A key service that does not answer.
struct NoKeys;

#[async_trait]
impl KeyProvider for NoKeys {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        Err(KeyError::Unavailable { key: None, why: "away".to_owned() })
    }

    async fn wrap(&self, _: &TenantId, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
        Err(KeyError::Unavailable { key: None, why: "away".to_owned() })
    }

    async fn unwrap(&self, _: &TenantId, wrapped: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
        Err(KeyError::Unavailable { key: Some(wrapped.host_key.clone()), why: "away".to_owned() })
    }
}
