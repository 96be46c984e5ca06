//! Storage that fails under the shipped component: nothing is lost that can be kept, and the error says which.

use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fake_tiktok_shop::Decision;
use tiktok_shop_host::connection::{ConnectionStatus, ShopPolicy};
use tiktok_shop_host::consent::{BrowserSession, ConsentError};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::{HostStorage, StorageError};
use tiktok_shop_host::webhook::WebhookReply;
use tiktok_shop_tests::{
    Access, BEGIN, DAY, Interceptor, Passage, Stage, TOKEN_GET, TOKEN_REFRESH, customer_id, refusal, tenant,
};

use crate::webhook_entry::{ends, signature};

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    Nothing,
    Everything,
    TokenWrites,
    RowWrites,
    WebhookIdWrites,
    /// The first write of a token record, a claim or a new record, works.
    TokenWritesButOne,
    /// The next write of a token record panics, and its text quotes the record.
    TokenWritePanics,
    /// Writes of token records are refused, and the error quotes the record.
    TokenWritesQuoted,
}

/// The fault that storage has.
#[derive(Default)]
struct Faulty {
    fault: AtomicU8,
    /// A record in clear. Storage is given none; it is known to it from elsewhere.
    record: Mutex<String>,
}

impl Faulty {
    fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault.load(Ordering::SeqCst) == fault as u8
    }

    fn record(&self) -> String {
        self.record.lock().unwrap().clone()
    }
}

#[async_trait]
impl Interceptor for Faulty {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let refused = |text: String| Passage::Failed(StorageError::Refused(text));
        if self.is(Fault::Everything)
            || (self.is(Fault::RowWrites) && matches!(access, Access::SwapRow(..)))
            || (self.is(Fault::WebhookIdWrites) && access.method() == "remember_webhook")
        {
            return refused("out of space".to_owned());
        }
        let Access::SwapToken(..) = access else { return Passage::Made };
        if self.is(Fault::TokenWrites) {
            return refused("out of space".to_owned());
        } else if self.is(Fault::TokenWritesButOne) {
            self.set(Fault::TokenWrites);
        } else if self.is(Fault::TokenWritePanics) {
            self.set(Fault::Nothing);
            // Past the panic hook: what that prints is the embedder's own.
            resume_unwind(Box::new(format!("cannot store {}", self.record())));
        } else if self.is(Fault::TokenWritesQuoted) {
            return refused(format!("invalid input {} near line 1", self.record()));
        }
        Passage::Made
    }
}

fn stage() -> (Stage, Arc<Faulty>) {
    let (stage, faulty) = (Stage::new(), Arc::new(Faulty::default()));
    stage.intercept(Arc::clone(&faulty) as Arc<_>);
    (stage, faulty)
}

#[tokio::test]
async fn storage_that_is_down_costs_no_code() {
    let (stage, storage) = stage();
    storage.set(Fault::Everything);
    assert_eq!(refusal(stage.connect("alice", "one-shop").await), ("storage-failed", "storage-refused".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_GET), 0);
}

#[tokio::test]
async fn a_pair_that_cannot_be_stored_asks_for_another_consent() {
    let (stage, storage) = stage();
    storage.set(Fault::TokenWrites);
    let outcome = stage.connect("alice", "one-shop").await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
    storage.set(Fault::Nothing);
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), []);
    assert_eq!(stage.connect("alice", "one-shop").await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_row_that_cannot_be_stored_is_repaired_by_refresh() {
    let (stage, storage) = stage();
    storage.set(Fault::RowWrites);
    let shown = stage.connect("alice", "one-shop").await.unwrap();
    assert_eq!(shown.last_failure.unwrap().failure.code, "connection-row-not-saved");
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), []);
    storage.set(Fault::Nothing);
    let repaired = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!((repaired.shops.len(), &repaired.last_failure), (1, &None));
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), [repaired]);
}

#[tokio::test]
async fn no_claim_means_no_request() {
    let (stage, storage) = stage();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    storage.set(Fault::TokenWrites);
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("storage-failed", "storage-refused".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0);
}

#[tokio::test]
async fn a_rotated_pair_that_cannot_be_stored_is_no_success_and_the_old_token_is_tried_once_more() {
    let (stage, storage) = stage();
    stage.fake.update_switches(|switches| {
        switches.replaced_refresh_token = fake_tiktok_shop::ReplacedRefreshToken::HonouredForSeconds(600);
    });
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    storage.set(Fault::TokenWritesButOne);
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("storage-failed", "token-not-saved".to_owned()));

    // The claim stays behind as the mark: nobody sends anything before it has lapsed.
    storage.set(Fault::Nothing);
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("retry-after", "refresh-in-progress".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
    stage.advance(120);
    assert_eq!(stage.refresh("alice", RefreshMode::WhenDue).await.unwrap().status, ConnectionStatus::Active);
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 2);
}

#[tokio::test]
async fn a_record_that_storage_quotes_stays_out_of_errors_rows_and_logs() {
    let (stage, storage) = stage();
    let key = stage.connect("alice", "one-shop").await.unwrap().key;
    *storage.record.lock().unwrap() = String::from_utf8(stage.token_record(&key).await.unwrap()).unwrap();
    storage.set(Fault::TokenWritePanics);
    assert_eq!(stage.refresh("alice", RefreshMode::Forced).await.unwrap().status, ConnectionStatus::Active);
    storage.set(Fault::TokenWritesQuoted);
    let outcome = stage.refresh("alice", RefreshMode::Forced).await;
    let text = outcome.as_ref().unwrap_err().to_string();
    assert!(text.contains("[invalid input […] ") && text.ends_with(" near line 1]"), "{text}");
    assert_eq!(refusal(outcome), ("storage-failed", "storage-refused".to_owned()));
    stage.assert_nothing_got_out();
}

#[tokio::test]
async fn a_consent_that_storage_cannot_find_is_neither_used_up_nor_exchanged() {
    let (stage, storage) = stage();
    let (ours, alice) = (tenant(0), customer_id("alice"));
    let browser = BrowserSession::new("the session cookie of alice".into()).unwrap();
    let refused = StorageError::Refused("out of space".to_owned());
    storage.set(Fault::Everything);
    let outcome = stage.host.begin_consent(&ours, &alice, &browser, ShopPolicy::All).await;
    assert_eq!(outcome, Err(ConsentError::Storage(refused.clone())));

    storage.set(Fault::Nothing);
    let consent = stage.host.begin_consent(&ours, &alice, &browser, ShopPolicy::All).await.unwrap();
    let (_, state) = consent.url.expose().split_once("&state=").unwrap();
    let query = stage.callback_of(0, "one-shop", Some(state), Decision::Allow);
    storage.set(Fault::Everything);
    let outcome = stage.host.finish_consent(&ours, &browser, query.as_str().into()).await;
    assert_eq!(outcome, Err(ConsentError::Storage(refused)));
    assert_eq!(stage.fake.requests(), []);

    storage.set(Fault::Nothing);
    let connection = stage.host.finish_consent(&ours, &browser, query.as_str().into()).await.unwrap();
    assert_eq!(connection.status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_webhook_is_asked_for_again_until_storage_works() {
    let (stage, storage) = stage();
    stage.connect("alice", "one-shop").await.unwrap();
    let body = ends("7600000000000000007", BEGIN + 20 * DAY, BEGIN + 5);
    let authorization = signature(&stage, 0, &body);
    let deliver = async |may_be_handled: bool| {
        let handle = async |_| {
            assert!(may_be_handled);
            Ok::<_, Infallible>(())
        };
        stage.host.accept_webhook(&tenant(0), &authorization, body.as_str().into(), handle).await
    };
    for fault in [Fault::Everything, Fault::RowWrites] {
        storage.set(fault);
        let reply = deliver(false).await;
        assert_eq!(reply.status(), 503, "{fault:?}");
        let WebhookReply::NotReceived(error) = reply else { panic!("{reply:?}") };
        assert_eq!(refusal(Err::<(), _>(error)), ("storage-failed", "storage-refused".to_owned()), "{fault:?}");
    }
    // The platform has it, though nobody will know that it has.
    storage.set(Fault::WebhookIdWrites);
    assert_eq!(deliver(true).await, WebhookReply::Handled);
    storage.set(Fault::Nothing);
    assert_eq!(deliver(true).await, WebhookReply::Handled);
    assert_eq!(deliver(false).await, WebhookReply::Repeated);
}
