//! `sign`: prints the signature of requests.

use std::collections::BTreeMap;

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use tiktok_shop_connector_core::json::Members;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing::{Signable, is_multipart};

use crate::input::{self, Malformed, Object, Value};
use crate::output::{BAD, GOOD, Report};

/// Print the signature of requests to TikTok Shop's API host
///
/// The command reads one request or an array of requests as JSON from standard input.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Sign {
    /// Also show the signed text without the secret, and compare with the member "sign"
    #[arg(long)]
    explain: bool,

    /// Print one JSON object for each request, each on its own line
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
A request is an object:
  app_key       text
  app_secret    text; never printed
  timestamp     whole number: Unix seconds
  path          text: begins with /, without host and query
  query         array of {\"name\": text, \"value\": text}, not percent-encoded;
                app_key and timestamp are added; optional
  method        text; not signed; optional
  body          text: exactly the body that is sent; optional
  content_type  text; a body of type multipart/form-data is not signed; optional
Other members are ignored. A request with a repeated name in the query can't be signed.
If public implementations sign a request differently, a warning on standard error says how.

Examples:

  $ echo '{\"app_key\": \"29a39d\", \"app_secret\": \"e59af819cc\", \"timestamp\": 1623812664,
          \"path\": \"/authorization/202309/shops\"}' | tiktok-shop-harness sign --explain
  b596b73e0cc6de07ac26f036364178ab16b0a907af13d43f0a0cd2345f582dc8
      signed  <app secret>/authorization/202309/shopsapp_key29a39dtimestamp1623812664<app secret>

  $ echo '[{\"id\": \"mine\", \"app_key\": \"29a39d\", \"app_secret\": \"e59af819cc\", \"timestamp\": 1623812664,
           \"path\": \"/order/202309/orders\", \"query\": [{\"name\": \"ids\", \"value\": \"57665,57666\"}]}]' |
    tiktok-shop-harness sign --json
  {\"id\":\"mine\",\"sign\":\"9ae575a1d6689843b0ccfab6ea96aab4b2602902705bedc97d118b3bd591560a\"}

Keep your own secrets in a file and out of the shell's history:
tiktok-shop-harness sign < request.json

Exit status: 0 if all requests were signed; 2 if the input is malformed, and then nothing is
printed.";

impl Sign {
    pub(crate) fn run(&self, text: &str, report: &mut Report) -> Result<(), Malformed> {
        for object in input::objects(text)? {
            let request = Request::read(&object)?;
            request.divergences().for_each(|(member, text)| report.warning(&object.place_of(member), text));
            self.print(&request, &object, report);
        }
        Ok(())
    }

    fn print(&self, request: &Request, object: &Object<'_>, report: &mut Report) {
        let query = request.query();
        let signable = request.signable(&query);
        let sign = signable.signature(&request.app_secret);
        // The printed text contains a placeholder in place of the secret.
        let signed = signable.string_to_sign(&AppSecret::new("<app secret>".to_owned()));
        let signed = String::from_utf8_lossy(signed.expose());
        let agrees = object.remark("sign").map(|given| given == sign);
        if self.json {
            report.json(&Line {
                id: object.remark("id"),
                sign: &sign,
                string_to_sign: self.explain.then_some(&signed),
                agrees: agrees.filter(|_| self.explain),
            });
            return;
        }
        report.line(&sign);
        if self.explain {
            report.detail("signed", Style::new(), &signed);
            match agrees {
                Some(true) => report.detail("input", GOOD, "agrees"),
                Some(false) => report.detail("input", BAD, "has a different sign"),
                None => {}
            }
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    sign: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_to_sign: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agrees: Option<bool>,
}

struct Request {
    app_secret: AppSecret,
    timestamp: u64,
    method: Option<String>,
    path: String,
    /// The decoded query of the request, with `app_key` and `timestamp`.
    query: BTreeMap<String, String>,
    body: Option<String>,
    content_type: Option<String>,
}

impl Request {
    fn read(object: &Object<'_>) -> Result<Self, Malformed> {
        let timestamp = object.required("timestamp")?.whole_number()?;
        let mut query = BTreeMap::from([
            ("app_key".to_owned(), object.required("app_key")?.filled_text()?),
            ("timestamp".to_owned(), timestamp.to_string()),
        ]);
        for pair in object.optional("query").map_or_else(|| Ok(Vec::new()), |query| query.items())? {
            let pair = pair.object()?;
            let (name, value) = (pair.required("name")?, pair.required("value")?);
            if query.insert(name.filled_text()?, value.text()?).is_some() {
                return Err(name.malformed(
                    "this name is repeated, and app_key and timestamp are always added; a repeated name can't be signed",
                ));
            }
        }
        Ok(Self {
            app_secret: AppSecret::new(object.required("app_secret")?.filled_text()?),
            timestamp,
            method: object.optional_text("method")?,
            path: path(&object.required("path")?)?,
            query,
            body: object.optional_text("body")?,
            content_type: object.optional_text("content_type")?,
        })
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn signable<'a>(&'a self, query: &'a [(&'a str, &'a str)]) -> Signable<'a> {
        let body = self.body.as_ref().map(|body| (body.as_bytes(), self.content_type.as_deref()));
        Signable { path: &self.path, query, body }
    }

    /// Returns the warnings about this request. Each warning names a member of the request, and explains how TikTok
    /// Shop or a public implementation may treat this member differently.
    fn divergences(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let shop_cipher = self.query.contains_key("shop_cipher")
            && ["/authorization/", "/seller/"].iter().any(|prefix| self.path.starts_with(prefix));
        let body = self.body.as_deref().unwrap_or_default();
        let multipart = is_multipart(self.content_type.as_deref());
        let signed = !body.is_empty() && !multipart;
        let get = self.method.as_ref().is_some_and(|method| method.eq_ignore_ascii_case("GET"));
        let json = serde_json::from_str::<&RawValue>(body).is_ok();
        let empty_object = Members::parse(body.as_bytes()).is_some_and(|members| members.count() == 0);
        [
            (
                self.timestamp.to_string().len() != 10,
                "timestamp",
                "not ten digits; TikTok Shop expects Unix seconds, at most 5 minutes in the past and 30 seconds in the future",
            ),
            (
                self.query.values().any(String::is_empty),
                "query",
                "a parameter with an empty value is signed as its name alone; the .NET and Laravel SDKs omit it. Omit the \
                 parameter",
            ),
            (
                shop_cipher,
                "query",
                "shop_cipher is signed like any other parameter; EcomPHP omits it under /authorization/ and /seller/",
            ),
            (
                signed && get,
                "body",
                "the body of a GET is signed like any other body; EcomPHP and the .NET SDK do not sign it. Send no body",
            ),
            (
                signed && empty_object,
                "body",
                "an empty object is signed like any other body; the Node and Python samples of TikTok's page do not sign \
                 it. Send no body",
            ),
            (
                signed && json && !empty_object,
                "body",
                "signed byte for byte; the Node sample of TikTok's page serialises JSON again without spaces, the Python \
                 sample with spaces. Send exactly the bytes that you sign",
            ),
            (
                multipart && !body.is_empty(),
                "body",
                "a body of type multipart/form-data is not signed; five public implementations sign it, because they \
                 expect the type without a boundary, or in a header of another name",
            ),
        ]
        .into_iter()
        .filter_map(|(applies, member, text)| applies.then_some((member, text)))
    }
}

/// Returns the path, which is signed unchanged. Fails if a client can't send the path unchanged.
fn path(value: &Value<'_>) -> Result<String, Malformed> {
    let path = value.text()?;
    let problem = if !path.starts_with('/') {
        "does not begin with /; leave the host out"
    } else if path.contains('?') {
        "has a query; put its decoded pairs into \"query\""
    } else if path.ends_with('/') {
        "ends with /; no path of TikTok Shop does, and the / would be signed"
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        "contains a character that is not sent in a path"
    } else {
        return Ok(path);
    };
    Err(value.malformed(problem))
}
