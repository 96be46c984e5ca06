//! A guest that attacks its host, which is the program that runs the guest. The guest sends requests to foreign network
//! hosts, uses up resources, and searches memory for secrets of earlier guests. Tests load this guest to show that the
//! host stops these attacks.
//!
//! A test passes an order as the argument of `authorization_url`. The first line of the order is the action, and the
//! other lines are the action's arguments. The comments below say what the other exports do.

mod betray;
mod bindings;
mod leak;
mod request;
mod standard;
mod take;

use bindings::exports::tiktok_shop::connector::connector as export;
use bindings::tiktok_shop::connector::{app_credentials, storage, types};

struct Hostile;

impl export::Guest for Hostile {
    /// Carries out an order and returns its result as text.
    fn authorization_url(_: Option<String>, order: String) -> Result<String, types::ConnectorError> {
        let mut lines = order.lines();
        let action = lines.next().unwrap_or_default();
        let argument = lines.next().unwrap_or_default();
        Ok(match action {
            "abandon" => {
                let _pending = request::start(argument);
                call_host()
            }
            "request" => request::send(argument, lines),
            "leave" => leak::leave(argument),
            "look" => leak::look(argument),
            "count words" => standard::count_words(argument).to_string(),
            "compute" => {
                call_host();
                take::time()
            }
            "handles" => take::handles(number(argument)).to_string(),
            "bodies" => take::bodies(),
            "headers" => take::headers(number(argument)).to_string(),
            "host calls" => take::host_calls(),
            "large host calls" => take::large_host_calls(number(argument)),
            "memory" => take::memory(),
            "random bytes" => take::random_bytes(argument.parse().unwrap_or_default()),
            "requests" => take::requests(argument),
            "stack" => take::stack(number(argument)).to_string(),
            "text" => "x".repeat(number(argument)),
            "wait" => take::wait(),
            _ => "no such order".to_owned(),
        })
    }

    /// Returns an error whose text is the query of the callback.
    fn exchange_install(_: Option<String>, query: String) -> Result<export::PendingInstall, types::ConnectorError> {
        Err(types::ConnectorError::Internal(failure(query)))
    }

    /// Returns an error whose text is the pending install.
    fn install_shops(pending: Vec<u8>) -> Result<Vec<export::InstallShop>, types::ConnectorError> {
        Err(types::ConnectorError::Internal(failure(String::from_utf8_lossy(&pending).into_owned())))
    }

    /// Returns an error whose text is the code, the query of the callback, the refresh token or the pending install of
    /// the grant.
    fn connect(
        _: String,
        _: Option<String>,
        grant: export::Grant,
        _: types::ShopPolicy,
    ) -> Result<types::Connection, types::ConnectorError> {
        Err(types::ConnectorError::Internal(failure(match grant {
            export::Grant::Code(code) => code,
            export::Grant::Callback(callback) => callback.query,
            export::Grant::Existing(existing) => existing.refresh_token,
            export::Grant::Pending(pending) => String::from_utf8_lossy(&pending).into_owned(),
        })))
    }

    /// In place of an account, the test passes a command. The command tells this guest to put a secret into a value
    /// that is not secret, and this function obeys (see `betray.rs`). If the test passes no account, this function
    /// returns an error with a text of 16 MiB.
    fn refresh(
        customer: String,
        order: Option<String>,
        _: export::Rotation,
    ) -> Result<export::Refreshed, types::ConnectorError> {
        match order {
            Some(order) => betray::obey(&customer, &order)
                .map(|connection| export::Refreshed { connection, effect: export::RefreshEffect::Renewed }),
            None => Err(types::ConnectorError::Internal(failure("x".repeat(16 << 20)))),
        }
    }

    /// Returns as many shops as the argument says. If the argument is not a number, returns one shop with the argument
    /// as its id.
    fn list_shops(order: String) -> Result<Vec<types::Shop>, types::ConnectorError> {
        Ok(match order.parse() {
            Ok(count) => vec![shop("7000714532876273420"); count],
            Err(_) => vec![shop(&order)],
        })
    }

    /// Does nothing and returns an error.
    fn access_token(_: String, _: Option<String>, _: u32) -> Result<export::ValidToken, types::ConnectorError> {
        Err(types::ConnectorError::Internal(failure(String::new())))
    }

    /// Does nothing and returns an error.
    fn export_grant(_: String, _: Option<String>) -> Result<export::ExistingGrant, types::ConnectorError> {
        Err(types::ConnectorError::Internal(failure(String::new())))
    }

    /// Returns the error whose name is the customer of the call. If no error has this name, allocates memory without
    /// end.
    fn link_shops(
        error: String,
        _: Option<String>,
        _: Vec<String>,
    ) -> Result<types::Connection, types::ConnectorError> {
        let failure = failure(String::new());
        Err(match &*error {
            "retry-after" => types::ConnectorError::RetryAfter(types::Retry { after_ms: 7_000, failure }),
            "reauthorize" => types::ConnectorError::Reauthorize(failure),
            "misconfigured" => types::ConnectorError::Misconfigured(failure),
            "invalid-request" => types::ConnectorError::InvalidRequest(failure),
            "upstream" => types::ConnectorError::Upstream(failure),
            "storage-conflict" => types::ConnectorError::StorageConflict(failure),
            "storage-failed" => types::ConnectorError::StorageFailed(failure),
            "internal" => types::ConnectorError::Internal(failure),
            _ => take::memory(),
        })
    }

    /// Does nothing and returns an error.
    fn disconnect(
        _: String,
        _: export::DisconnectTarget,
        _: export::RemoteGrant,
    ) -> Result<export::Disconnected, types::ConnectorError> {
        Err(types::ConnectorError::Internal(failure(String::new())))
    }

    /// Does nothing and returns an error.
    fn receive_webhook(_: Option<String>, _: String, _: Vec<u8>) -> Result<export::Webhook, types::ConnectorError> {
        Err(types::ConnectorError::Internal(failure(String::new())))
    }

    /// Does nothing and returns an error.
    fn call(_: String, _: export::CallRequest) -> Result<export::CallResponse, types::ConnectorError> {
        Err(types::ConnectorError::Internal(failure(String::new())))
    }

    /// Loads the token record of customer `alice`, even if the call is for another customer. Returns an error whose
    /// text is the result of the load.
    fn list_connections(_: String) -> Result<Vec<types::Connection>, types::ConnectorError> {
        let alice = types::ConnectionKey { customer: "alice".to_owned(), account: "one-shop".to_owned() };
        Err(types::ConnectorError::Internal(failure(format!("{:?}", storage::load(storage::Table::Tokens, &alice)))))
    }
}

/// Asks the host twice for the tenant's apps, so that the test notices how far this guest has come. The host has the
/// answer to the first question ready before the call. So only the second question makes the host ask its source of
/// credentials.
fn call_host() -> String {
    let _ready = app_credentials::apps();
    app_credentials::apps().map_or_else(|error| format!("{error:?}"), |apps| apps.join(" "))
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_default()
}

fn failure(detail: String) -> types::Failure {
    types::Failure { code: "hostile".to_owned(), detail, http_status: None, request_id: None }
}

fn shop(id: &str) -> types::Shop {
    types::Shop {
        id: id.to_owned(),
        account: "account".to_owned(),
        app: None,
        name: String::new(),
        region: String::new(),
        seller_type: String::new(),
        cipher: None,
        code: String::new(),
        raw: String::new(),
        standing: types::ShopStanding::Granted,
        linked: true,
    }
}
