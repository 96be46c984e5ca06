//! `call`: a signed request of TikTok Shop's API.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use tiktok_shop_host::call::{CallRequest, CallResponse, CallScope, HttpMethod};
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use super::failure::Failure;
use super::input;
use super::output::Report;
use super::settings::{Host, Setting};

/// Make a call of TikTok Shop's API: signed, with token and cipher
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Call {
    /// In whose name
    customer: CustomerId,

    /// What it does
    #[arg(ignore_case = true, value_parser = method())]
    method: HttpMethod,

    /// Begins with /; without host and query
    path: String,

    /// For this shop, with its cipher
    #[arg(long, value_name = "ID", conflicts_with = "account")]
    shop: Option<ShopId>,

    /// For a seller, without a cipher: which of several accounts
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    /// A parameter of the query, decoded; may stand several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    query: Vec<(String, String)>,

    /// What to send as the body; - is standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,

    /// Of the body [default: application/json]
    #[arg(long, value_name = "TYPE", requires = "body_file")]
    content_type: Option<String>,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
Writes the body of the answer, as it came, to standard output; status, code and request id to
standard error. It is shown as it is, secrets of yours included: a list of authorized shops holds
ciphers. TikTok's page of an endpoint says whether it wants a cipher: \"Shop\" endpoints take
--shop, \"Seller\" endpoints do not.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness call customer-7 GET /authorization/202309/shops --json
  {\"http_status\":200,\"code\":\"0\",\"request_id\":\"…\",\"content_type\":\"application/json\",\"body\":…}

  $ echo '{}' | tiktok-shop-harness call customer-7 POST /order/202309/orders/search \\
      --shop 7490000000000000001 --query page_size=1 --body-file -
  HTTP 200, code 0, request …
  {\"code\":0,…}

Exit status: 0 if TikTok Shop did it (HTTP 2xx, code 0); 1 if it answered with an error; 10 to 20
if there is no answer, as tiktok-shop-harness --help lists them; 14 with the code outcome-unknown
if nobody knows whether it acted.";

/// Longest body, in bytes.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Parses a method's name, in capital or small letters.
fn method() -> impl TypedValueParser<Value = HttpMethod> {
    PossibleValuesParser::new(HttpMethod::ALL.map(HttpMethod::as_str)).try_map(|name| {
        let named = |method: &HttpMethod| method.as_str().eq_ignore_ascii_case(&name);
        HttpMethod::ALL.into_iter().find(named).ok_or("not a method")
    })
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or("not NAME=VALUE")
}

#[derive(Serialize)]
struct Line<'a> {
    http_status: u16,
    code: Option<&'a str>,
    request_id: Option<&'a str>,
    content_type: Option<&'a str>,
    /// As text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// What is no text, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

impl Call {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, method, path, shop, account, query, body_file, content_type, setting } = self;
        let scope = shop.map_or(CallScope::Seller(account), CallScope::Shop);
        let mut request = CallRequest::new(scope, method.into(), path);
        request.query = query;
        request.content_type = content_type;
        request.body = body_file.map(|path| body(&path)).transpose()?;

        let Host { host, stored, .. } = setting.open(report).await?;
        let answer = host.call(&stored.tenant, &customer, request).await?;
        if !answer.is_success() {
            report.failed();
        }
        tell(&answer, report);
        Ok(())
    }
}

fn body(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(input::bytes(io::stdin().lock(), "standard input", MOST_BYTES)?);
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::Malformed(format!("{name}: {error}")))?;
    Ok(input::bytes(file, &name, MOST_BYTES)?)
}

fn tell(answer: &CallResponse, report: &mut Report) {
    let CallResponse { http_status, code, request_id, content_type, body } = answer;
    let text = std::str::from_utf8(body).ok();
    if report.is_json() {
        report.json(&Line {
            http_status: *http_status,
            code: code.as_deref(),
            request_id: request_id.as_deref(),
            content_type: content_type.as_deref(),
            body: text,
            body_hex: text.is_none().then(|| hex::encode(body)),
        });
        return;
    }
    let mut said = format!(
        "HTTP {http_status}, {}",
        code.as_ref().map_or_else(|| "no code".to_owned(), |code| format!("code {code}"))
    );
    if let Some(id) = request_id {
        said += &format!(", request {id}");
    }
    report.aside(&said);
    report.raw(body);
}
