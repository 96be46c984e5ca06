//! The calls of a history as calls of the component's exports.

use serde_json::{Value, json};
use tiktok_shop_connector_core::operation::refresh::RefreshMode;
use tiktok_shop_simulation::{
    ACCOUNT, CUSTOMER, MAX_RESPONSE_BYTES, MIN_VALIDITY, NamedAccount, ORDERS, ORDERS_BODY, Operation, SHOP, signature,
};
use wasmtime::component::Val;

use crate::values::{field, text};

/// Returns the name of the export and its arguments.
pub(crate) fn export(operation: Operation) -> (&'static str, Vec<Value>) {
    let connect = |grant: Value| ("connect", vec![json!(CUSTOMER), Value::Null, grant, json!("all")]);
    match operation {
        Operation::Refresh(mode) => {
            let rotation = match mode {
                RefreshMode::WhenDue => "when-due",
                RefreshMode::Forced => "forced",
            };
            ("refresh", vec![json!(CUSTOMER), json!(ACCOUNT), json!(rotation)])
        }
        Operation::AccessToken => ("access-token", vec![json!(CUSTOMER), json!(ACCOUNT), json!(MIN_VALIDITY)]),
        Operation::Call => {
            let request = json!({
                "scope": {"case": "shop", "value": SHOP},
                "method": "post",
                "path": ORDERS,
                "query": [],
                "content-type": null,
                "body": {"text": ORDERS_BODY},
                "max-response-bytes": MAX_RESPONSE_BYTES,
            });
            ("call", vec![json!(CUSTOMER), request])
        }
        Operation::Connect { code } => connect(json!({"case": "code", "value": code})),
        Operation::Import { account, token } => {
            let grant = json!({
                "account": (account == NamedAccount::Named).then_some(ACCOUNT),
                "refresh-token": token,
                "access-token": null,
                "access-token-ends": null,
                "refresh-token-ends": null,
            });
            connect(json!({"case": "existing", "value": grant}))
        }
        Operation::Disconnect => {
            ("disconnect", vec![json!(CUSTOMER), json!({"case": "all", "value": ACCOUNT}), json!("keep")])
        }
        Operation::ReceiveWebhook { body } => {
            let sent = json!({"text": str::from_utf8(&body).unwrap()});
            ("receive-webhook", vec![Value::Null, json!(signature(&body)), sent])
        }
    }
}

/// Returns `ok`, or the code of the error.
pub(crate) fn outcome(result: &Val) -> String {
    match result {
        Val::Result(Ok(_)) => "ok".to_owned(),
        Val::Result(Err(Some(error))) => {
            let Val::Variant(case, Some(payload)) = &**error else { panic!("{error:?} is no error") };
            let failure = if case == "retry-after" { field(payload, "failure") } else { payload };
            text(field(failure, "code")).to_owned()
        }
        other => panic!("{other:?} is no result"),
    }
}
