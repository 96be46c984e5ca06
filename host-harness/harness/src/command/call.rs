//! `call`: sends a signed request to TikTok Shop's API.

use std::fs::File;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use tiktok_shop_host::call::{CallRequest, CallResponse, CallScope, HttpMethod};
use tiktok_shop_host::{AccountId, CustomerId, ShopId};
use tiktok_shop_private_file as private_file;

use super::held_back::Subject;
use crate::failure::Failure;
use crate::input;
use crate::output::{JsonBody, Report};
use crate::settings::{self, HostArgs, OpenedHost};

/// Send a request to TikTok Shop's API, with signature, token and cipher
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Call {
    /// Customer whose connection is used
    customer: CustomerId,

    /// HTTP method
    #[arg(ignore_case = true, value_parser = method())]
    method: HttpMethod,

    /// Path, which begins with / and contains neither host nor query
    #[arg(value_parser = path)]
    path: String,

    /// Shop that the request is about; the command adds its cipher
    #[arg(long, value_name = "ID", conflicts_with = "account")]
    shop: Option<ShopId>,

    /// Account for calls without --shop; required if there are several
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    /// Query parameter, not percent-encoded; can be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    query: Vec<(String, String)>,

    /// File with the body; - is standard input
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(settings::path))]
    body_file: Option<PathBuf>,

    /// Content type of the body [default: application/json]
    #[arg(long, value_name = "TYPE", requires = "body_file")]
    content_type: Option<String>,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
The command writes the body of the answer unchanged to standard output, and the status, the code
and the request id to standard error. With --json, the member body contains the body, and
body_format says how: json (the body is JSON), text or base64. The body may contain secrets. For
example, a list of authorized shops contains ciphers. TikTok's page about an endpoint says whether
the endpoint needs a cipher. Use --shop for \"Shop\" endpoints, and do not use it for \"Seller\"
endpoints.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness call customer-7 GET /authorization/202309/shops --json
  {\"http_status\":200,\"code\":\"0\",\"request_id\":\"…\",…,\"body_format\":\"json\",\"body\":{…}}

  $ echo '{\"order_status\":\"AWAITING_SHIPMENT\"}' |
      tiktok-shop-harness call customer-7 POST /order/202309/orders/search \\
        --shop 7490000000000000001 --query page_size=1 --body-file -
  HTTP 200, code 0, request …
  {\"code\":0,…}

Exit status: 0 if the call succeeded (HTTP 2xx, code 0); 1 if TikTok Shop answered with an error;
10 to 20 if there is no answer, as tiktok-shop-harness --help explains; 14 with the code
outcome-unknown if it is unknown whether TikTok Shop acted.";

/// The maximum length of the body: 16 MiB.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Returns a parser for the name of a method. The name may be in upper or lower case.
fn method() -> impl TypedValueParser<Value = HttpMethod> {
    PossibleValuesParser::new(HttpMethod::ALL.map(HttpMethod::as_str)).try_map(|name| {
        let named = |method: &HttpMethod| method.as_str().eq_ignore_ascii_case(&name);
        HttpMethod::ALL.into_iter().find(named).ok_or("not a method")
    })
}

/// Refuses a path that contains a query. The connector would refuse it, too, but can't name the option.
fn path(text: &str) -> Result<String, &'static str> {
    if text.contains('?') {
        return Err("contains a query; give each parameter with --query NAME=VALUE, not percent-encoded");
    }
    Ok(text.to_owned())
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
    #[serde(flatten)]
    body: JsonBody,
}

impl Call {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, method, path, shop, account, query, body_file, content_type, settings } = self;
        let scope = shop.map_or(CallScope::Seller(account), CallScope::Shop);
        let mut request = CallRequest::new(scope, method, path);
        request.query = query;
        request.content_type = content_type;
        if let Some(path) = body_file {
            request.body = Some(body(&path, report).await?);
        }

        let OpenedHost { host, opened, fake } = settings.open(report).await?;
        let (shop, account) = match request.scope.clone() {
            CallScope::Shop(shop) => (Some(shop), None),
            CallScope::Seller(account) => (None, account),
        };
        let subject =
            Subject { opened: &opened, fake, customer: &customer, account: account.as_ref(), shop: shop.as_ref() };
        let answer = match host.call(&opened.tenant, &customer, request).await {
            Ok(answer) => answer,
            Err(error) => return Err(subject.explained(error).await),
        };
        if !answer.is_success() {
            report.set_refused();
        }
        print(&answer, report);
        Ok(())
    }
}

async fn body(path: &PathBuf, report: &Report) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == "-" {
        let read = |stdin| input::bytes(stdin, "standard input", MAX_BYTES);
        return input::standard_input(&report.stop, read).await;
    }
    let name = format!("--body-file {}", path.display());
    let unreadable = |error: std::io::Error| {
        Failure::Malformed(format!("{name}: {}; name the file with the body", private_file::reason(&error)))
    };
    let file = File::open(path).map_err(unreadable)?;
    Ok(input::bytes(file, &name, MAX_BYTES)?)
}

fn print(answer: &CallResponse, report: &mut Report) {
    let CallResponse { http_status, code, request_id, content_type, body } = answer;
    if report.is_json() {
        report.json(&Line {
            http_status: *http_status,
            code: code.as_deref(),
            request_id: request_id.as_deref(),
            content_type: content_type.as_deref(),
            body: JsonBody::of(body),
        });
        return;
    }
    let mut summary = format!(
        "HTTP {http_status}, {}",
        code.as_ref().map_or_else(|| "no code".to_owned(), |code| format!("code {code}"))
    );
    if let Some(id) = request_id {
        summary += &format!(", request {id}");
    }
    report.stderr_line(&summary);
    report.raw(body);
}
