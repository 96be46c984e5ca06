//! Tests of a storage that fails while the shipped component runs. The connector loses nothing that it could keep, and
//! the error tells what failed.

use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fake_tiktok_shop::{Decision, ReplacedRefreshToken};
use tiktok_shop_host::connection::{ConnectionStatus, ShopPolicy};
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::{HostStorage, StorageError};
use tiktok_shop_host::webhook::WebhookReply;
use tiktok_shop_tests::{
    Access, BEGIN, DAY, Interceptor, Passage, Sink, Stage, TOKEN_GET, TOKEN_REFRESH, browser, customer_id, refusal,
    state_of, tenant,
};

use crate::webhook_entry::{ending_notice, signature};

/// The accesses that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    Nothing,
    Everything,
    TokenWrites,
    RowWrites,
    WebhookIdWrites,
    /// Every write of a token record except the first write.
    TokenWritesExceptFirst,
    /// The next write of a token record. The storage panics with a text that quotes the record.
    TokenWritePanics,
    /// Every write of a token record. The error quotes the record.
    TokenWritesQuoted,
}

/// An interceptor that makes accesses fail.
#[derive(Default)]
struct Faulty {
    fault: AtomicU8,
    /// A decrypted token record, which errors quote. The host never gives a decrypted record to a storage, so the test
    /// puts it here.
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
        let refused = |text: String| Passage::Fail(StorageError::Refused(text));
        if self.is(Fault::Everything)
            || (self.is(Fault::RowWrites) && matches!(access, Access::SwapRow(..)))
            || (self.is(Fault::WebhookIdWrites) && access.method() == "remember_webhook")
        {
            return refused("out of space".to_owned());
        }
        let Access::SwapToken(..) = access else { return Passage::Forward };
        if self.is(Fault::TokenWrites) {
            return refused("out of space".to_owned());
        } else if self.is(Fault::TokenWritesExceptFirst) {
            self.set(Fault::TokenWrites);
        } else if self.is(Fault::TokenWritePanics) {
            self.set(Fault::Nothing);
            // `resume_unwind` does not call the panic hook. This test is not about the hook, because an embedder
            // decides what the hook prints.
            resume_unwind(Box::new(format!("cannot store {}", self.record())));
        } else if self.is(Fault::TokenWritesQuoted) {
            return refused(format!("invalid input {} near line 1", self.record()));
        }
        Passage::Forward
    }
}

fn stage() -> (Stage, Arc<Faulty>) {
    let (stage, faulty) = (Stage::new(), Arc::new(Faulty::default()));
    stage.intercept(Arc::clone(&faulty) as Arc<_>);
    (stage, faulty)
}

#[tokio::test]
async fn while_the_storage_is_down_no_code_is_exchanged() {
    let (stage, storage) = stage();
    storage.set(Fault::Everything);
    assert_eq!(refusal(stage.connect("alice", "one-shop").await), ("storage-failed", "storage-refused".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_GET), 0);
}

#[tokio::test]
async fn if_the_first_tokens_cannot_be_stored_a_new_consent_is_required() {
    let (stage, storage) = stage();
    storage.set(Fault::TokenWrites);
    let outcome = stage.connect("alice", "one-shop").await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
    storage.set(Fault::Nothing);
    assert_eq!(stage.connections("alice").await, []);
    assert_eq!(stage.connect("alice", "one-shop").await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_refresh_repairs_a_row_that_could_not_be_stored() {
    let (stage, storage) = stage();
    storage.set(Fault::RowWrites);
    let connection = stage.connect("alice", "one-shop").await.unwrap();
    assert_eq!(connection.last_failure.unwrap().failure.code, "connection-row-not-saved");
    assert_eq!(stage.connections("alice").await, []);
    storage.set(Fault::Nothing);
    let repaired = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!((repaired.shops.len(), &repaired.last_failure), (1, &None));
    assert_eq!(stage.connections("alice").await, [repaired]);
}

#[tokio::test]
async fn a_refresh_that_cannot_store_its_claim_sends_no_request() {
    let (stage, storage) = stage();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    storage.set(Fault::TokenWrites);
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("storage-failed", "storage-refused".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0);
}

#[tokio::test]
async fn if_renewed_tokens_cannot_be_stored_the_refresh_fails_and_the_old_token_is_sent_again_after_the_claim_lapses() {
    let (stage, storage) = stage();
    stage.fake.update_switches(|switches| {
        switches.replaced_refresh_token = ReplacedRefreshToken::HonouredForSeconds(600);
    });
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    storage.set(Fault::TokenWritesExceptFirst);
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("storage-failed", "token-not-saved".to_owned()));

    // The failed refresh has left its claim (a note that one caller sends the refresh token now) in the record. So no
    // host sends a request before the claim lapses.
    storage.set(Fault::Nothing);
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("retry-after", "refresh-in-progress".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
    stage.advance(120);
    assert_eq!(stage.refresh("alice", RefreshMode::WhenDue).await.unwrap().status, ConnectionStatus::Active);
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 2);
}

#[tokio::test]
async fn a_token_record_that_the_storage_quotes_gets_into_no_error_row_or_log() {
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
async fn while_the_storage_is_down_a_consent_is_neither_used_nor_exchanged() {
    let (stage, storage) = stage();
    let (ours, alice) = (tenant(0), customer_id("alice"));
    let browser = browser("alice");
    let refused = StorageError::Refused("out of space".to_owned());
    storage.set(Fault::Everything);
    let outcome = stage.host.begin_consent(&ours, &alice, None, &browser, ShopPolicy::All).await;
    assert_eq!(outcome, Err(ConsentError::Storage(refused.clone())));

    storage.set(Fault::Nothing);
    let consent = stage.host.begin_consent(&ours, &alice, None, &browser, ShopPolicy::All).await.unwrap();
    let query = stage.callback_of(0, "one-shop", Some(state_of(&consent)), Decision::Allow);
    storage.set(Fault::Everything);
    let outcome = stage.host.finish_consent(&ours, &browser, query.as_str().into()).await;
    assert_eq!(outcome, Err(ConsentError::Storage(refused)));
    assert_eq!(stage.fake.requests(), []);

    storage.set(Fault::Nothing);
    let connection = stage.host.finish_consent(&ours, &browser, query.as_str().into()).await.unwrap();
    assert_eq!(connection.status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_webhook_is_requested_again_until_the_storage_works() {
    let (stage, storage) = stage();
    stage.connect("alice", "one-shop").await.unwrap();
    let body = ending_notice("7600000000000000007", BEGIN + 20 * DAY, BEGIN + 5);
    let authorization = signature(&stage, 0, &body);
    let deliver = async |may_be_handled: bool| {
        let handle = async |_| {
            assert!(may_be_handled);
            Ok::<_, Infallible>(())
        };
        stage.host.accept_webhook(&tenant(0), None, &authorization, body.as_str().into(), handle).await
    };
    storage.set(Fault::Everything);
    let reply = deliver(false).await;
    assert_eq!((reply.status(), reply), (503, WebhookReply::NotRead(StorageError::Refused("out of space".to_owned()))));
    let logs = String::from_utf8(stage.watch.written(Sink::Logs)).unwrap();
    let ended =
        "WARN call{operation=\"receive-webhook\" tenant=\"tenant-0\"}: tiktok_shop_host::guest::call_log: call ended";
    assert!(logs.lines().any(|line| line.contains(ended) && line.contains("storage-refused")), "{logs}");
    storage.set(Fault::RowWrites);
    let reply = deliver(false).await;
    assert_eq!(reply.status(), 503);
    let WebhookReply::NotReceived(error) = reply else { panic!("{reply:?}") };
    assert_eq!(refusal(Err::<(), _>(error)), ("storage-failed", "storage-refused".to_owned()));
    // The platform handles the webhook, but the storage can't remember that. So the platform also handles the next
    // delivery.
    storage.set(Fault::WebhookIdWrites);
    assert_eq!(deliver(true).await, WebhookReply::Handled);
    storage.set(Fault::Nothing);
    assert_eq!(deliver(true).await, WebhookReply::Handled);
    assert_eq!(deliver(false).await, WebhookReply::Repeated);
}
