//! `sign`: what `sign` a request must carry.

use std::collections::BTreeMap;

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use tiktok_shop_connector_core::json::Members;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing::{Signable, is_multipart};

use super::input::{self, Malformed, Object, Value};
use super::output::{BAD, GOOD, Report};

/// Sign requests to TikTok Shop's API host.
///
/// Reads one request, or an array of them, as JSON on standard input. Prints the digest of each.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Sign {
    /// Show what is signed, without the secret, and whether the input's "sign" agrees
    #[arg(long)]
    explain: bool,

    /// Print one JSON object per request and line
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
A request is an object:
  app_key       text
  app_secret    text; shown nowhere
  timestamp     whole number: Unix seconds
  path          text: begins with /, without host and query
  query         array of {\"name\": text, \"value\": text}, decoded; app_key and
                timestamp are added; may be missing
  method        text; not signed, may be missing
  body          text: exactly what is sent; none if missing or null
  content_type  text; a body of multipart/form-data is not signed; may be missing
Other members are passed over. A name that stands twice in the query cannot be signed.
Where public implementations sign otherwise, a warning on standard error says what they do.

Examples:

  $ echo '{\"app_key\": \"29a39d\", \"app_secret\": \"e59af819cc\", \"timestamp\": 1623812664,
          \"path\": \"/authorization/202309/shops\"}' | tiktok-shop-harness sign --explain
  b596b73e0cc6de07ac26f036364178ab16b0a907af13d43f0a0cd2345f582dc8
      signed  <app secret>/authorization/202309/shopsapp_key29a39dtimestamp1623812664<app secret>

  $ echo '[{\"id\": \"mine\", \"app_key\": \"29a39d\", \"app_secret\": \"e59af819cc\", \"timestamp\": 1623812664,
           \"path\": \"/order/202309/orders\", \"query\": [{\"name\": \"ids\", \"value\": \"57665,57666\"}]}]' |
    tiktok-shop-harness sign --json
  {\"id\":\"mine\",\"sign\":\"9ae575a1d6689843b0ccfab6ea96aab4b2602902705bedc97d118b3bd591560a\"}

A secret of yours belongs in a file, not in the shell's history:
tiktok-shop-harness sign < request.json

Exit status: 0 if all were signed; 2 if the input is malformed, then nothing is printed.";

impl Sign {
    pub(crate) fn run(&self, text: &str, report: &mut Report) -> Result<(), Malformed> {
        for object in input::objects(text)? {
            let request = Request::read(&object)?;
            request.divergences().for_each(|(member, text)| report.warning(&object.place_of(member), text));
            self.tell(&request, &object, report);
        }
        Ok(())
    }

    fn tell(&self, request: &Request, object: &Object<'_>, report: &mut Report) {
        let query = request.query();
        let signable = request.signable(&query);
        let sign = signable.signature(&request.app_secret);
        // The secret itself is never part of it.
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
                Some(false) => report.detail("input", BAD, "has another sign"),
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
    /// With `app_key` and `timestamp`.
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
                    "this name is in the query already, as app_key and timestamp always are; a repeated name cannot be \
                     signed",
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

    /// Where TikTok Shop or a public implementation may see it otherwise: the member, and what to know about it.
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
                "not ten digits; TikTok Shop takes Unix seconds, at most 5 minutes old and 30 seconds ahead",
            ),
            (
                self.query.values().any(String::is_empty),
                "query",
                "an empty value is signed as its bare name; the .NET and Laravel SDKs drop the parameter. Leave it out",
            ),
            (
                shop_cipher,
                "query",
                "shop_cipher is signed like any other; EcomPHP drops it under /authorization/ and /seller/",
            ),
            (
                signed && get,
                "body",
                "a body on GET is signed like any other; EcomPHP and the .NET SDK do not sign it. Send none",
            ),
            (
                signed && empty_object,
                "body",
                "an empty object is signed like any other; the page's Node and Python samples do not sign it. Send none",
            ),
            (
                signed && json && !empty_object,
                "body",
                "signed byte for byte; the page's Node sample writes JSON anew without spaces, its Python sample with \
                 spaces. Send the bytes you sign",
            ),
            (
                multipart && !body.is_empty(),
                "body",
                "a multipart/form-data body is not signed; five public implementations sign it, as they look for that \
                 very header, without a boundary or by another name",
            ),
        ]
        .into_iter()
        .filter_map(|(applies, member, text)| applies.then_some((member, text)))
    }
}

/// The path as it is sent, for it is signed as it is.
fn path(value: &Value<'_>) -> Result<String, Malformed> {
    let path = value.text()?;
    let problem = if !path.starts_with('/') {
        "does not begin with /; the host is not part of it"
    } else if path.contains('?') {
        "has a query; its decoded pairs belong in \"query\""
    } else if path.ends_with('/') {
        "ends in /; paths of TikTok Shop do not, and the / would be signed"
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        "holds a character that no path is sent with"
    } else {
        return Ok(path);
    };
    Err(value.malformed(problem))
}
