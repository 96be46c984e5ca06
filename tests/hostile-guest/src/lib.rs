//! A guest that does what a connector never would: it asks for other hosts, takes all it can get, and looks for what others
//! left behind. Tests load it to see the host refuse.
//!
//! What it does stands in the argument of an export, as lines of text: the first says what, the others with what.

mod bindings;
mod leak;
mod request;
mod take;

use bindings::exports::tiktok_shop::connector::connector as export;
use bindings::tiktok_shop::connector::{app_credentials, token_storage, types};

struct Hostile;

impl export::Guest for Hostile {
    /// Does it, and returns what came of it as text.
    fn authorization_url(order: String) -> Result<String, types::Error> {
        let mut lines = order.lines();
        let what = lines.next().unwrap_or_default();
        let with = lines.next().unwrap_or_default();
        Ok(match what {
            "abandon" => {
                let _under_way = request::start(with);
                ask()
            }
            "request" => request::send(with, lines),
            "leave" => leak::leave(with),
            "look" => leak::look(with),
            "compute" => {
                ask();
                take::time()
            }
            "handles" => take::handles(number(with)).to_string(),
            "headers" => take::headers(number(with)).to_string(),
            "host calls" => take::host_calls(),
            "large host calls" => take::large_host_calls(number(with)),
            "memory" => take::memory(),
            "random bytes" => take::random_bytes(with.parse().unwrap_or_default()),
            "requests" => take::requests(with),
            "stack" => take::stack(number(with)).to_string(),
            "text" => "x".repeat(number(with)),
            "wait" => take::waiting(),
            _ => "no such order".to_owned(),
        })
    }

    /// Nothing.
    fn connect(_: String, _: export::Grant, _: types::ShopPolicy) -> Result<types::Connection, types::Error> {
        Err(types::Error::Internal(failure(String::new())))
    }

    /// An error with a text of 16 megabytes.
    fn refresh(_: String, _: Option<String>, _: export::Rotation) -> Result<types::Connection, types::Error> {
        Err(types::Error::Internal(failure("x".repeat(16 << 20))))
    }

    /// So many shops, or one whose id is the argument if that is no number.
    fn list_shops(order: String) -> Result<Vec<types::Shop>, types::Error> {
        Ok(match order.parse() {
            Ok(count) => vec![shop("7000714532876273420"); count],
            Err(_) => vec![shop(&order)],
        })
    }

    /// Nothing.
    fn access_token(_: String, _: Option<String>, _: u32) -> Result<export::ValidToken, types::Error> {
        Err(types::Error::Internal(failure(String::new())))
    }

    /// Nothing.
    fn link_shops(_: String, _: Option<String>, _: Vec<String>) -> Result<types::Connection, types::Error> {
        Err(types::Error::Internal(failure(String::new())))
    }

    /// Nothing.
    fn disconnect(
        _: String,
        _: export::DisconnectTarget,
        _: export::RemoteGrant,
    ) -> Result<export::Disconnected, types::Error> {
        Err(types::Error::Internal(failure(String::new())))
    }

    /// Nothing.
    fn receive_webhook(_: String, _: Vec<u8>) -> Result<export::Webhook, types::Error> {
        Err(types::Error::Internal(failure(String::new())))
    }

    /// Nothing.
    fn call(_: String, _: export::CallRequest) -> Result<export::CallResponse, types::Error> {
        Err(types::Error::Internal(failure(String::new())))
    }

    /// An error whose text tells what loading the token record of customer `alice` gave.
    fn list_connections(_: String) -> Result<Vec<types::Connection>, types::Error> {
        let alice = types::ConnectionKey { customer: "alice".to_owned(), account: "one-shop".to_owned() };
        Err(types::Error::Internal(failure(format!("{:?}", token_storage::load(&alice)))))
    }
}

/// Tells the host, by asking it for something, how far this guest has come.
fn ask() -> String {
    app_credentials::current().map_or_else(|error| format!("{error:?}"), |credentials| credentials.app_key)
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
