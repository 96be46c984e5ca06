//! `verify-webhook`: checks the signatures of webhooks.

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing::{SignedWith, Webhook};

use crate::input::{self, Malformed, Object};
use crate::output::{BAD, GOOD, Report};

/// Check the signatures of webhooks, and print "valid" or "invalid" for each
///
/// The command reads one webhook or an array of webhooks as JSON from standard input.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct VerifyWebhook {
    /// Also show the signed text and its digest, and compare with "authorization"
    #[arg(long)]
    explain: bool,

    /// Print one JSON object for each webhook, each on its own line
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
A webhook is an object:
  app_key              text
  app_secret           text; never printed
  previous_app_secret  text: the earlier secret after a change; tried second; optional
  body                 text: the body exactly as it arrived, with every space and line break
  authorization        text: the value of the header Authorization
Other members are ignored. The signature does not limit the age of a webhook.

Example:

  $ echo '{\"app_key\": \"abcdef\", \"app_secret\": \"123\", \"body\": \"{\\\"type\\\":6}\",
          \"authorization\": \"a5ee78eae1a247efea964eb5f3d1e9ff62f49a8f54afdd69d6c702718f723bfc\"}' |
    tiktok-shop-harness verify-webhook
  valid

Keep your own secrets in a file and out of the shell's history:
tiktok-shop-harness verify-webhook < webhook.json

Exit status: 0 if all webhooks are valid; 1 if one is invalid; 2 if the input is malformed, and then
nothing is printed.";

impl VerifyWebhook {
    pub(crate) fn run(&self, text: &str, report: &mut Report) -> Result<(), Malformed> {
        for object in input::objects(text)? {
            self.print(&object, report)?;
        }
        Ok(())
    }

    fn print(&self, object: &Object<'_>, report: &mut Report) -> Result<(), Malformed> {
        let app_key = object.required("app_key")?.filled_text()?;
        let current = AppSecret::new(object.required("app_secret")?.filled_text()?);
        let previous = object.optional("previous_app_secret").map(|value| value.filled_text()).transpose()?;
        let body = object.required("body")?.text()?;
        let authorization = object.required("authorization")?.text()?;

        let webhook = Webhook { app_key: &app_key, body: body.as_bytes(), authorization: authorization.as_bytes() };
        let signed_with = webhook.signed_with(&current, previous.map(AppSecret::new).as_ref());
        if signed_with.is_none() {
            report.set_refused();
        }
        let signed = format!("{app_key}{body}");
        let digest = webhook.signature(&current);
        if self.json {
            report.json(&Line {
                id: object.remark("id"),
                valid: signed_with.is_some(),
                secret: signed_with.map(|with| match with {
                    SignedWith::CurrentSecret => "current",
                    SignedWith::PreviousSecret => "previous",
                }),
                string_to_sign: self.explain.then_some(&signed),
                digest: self.explain.then_some(&digest),
            });
            return Ok(());
        }
        let (style, verdict) = if signed_with.is_some() { (GOOD, "valid") } else { (BAD, "invalid") };
        report.styled(style, verdict);
        if self.explain {
            report.detail("signed", Style::new(), &signed);
            report.detail("digest", Style::new(), &digest);
            let compared = match signed_with {
                Some(SignedWith::CurrentSecret) => "agrees",
                Some(SignedWith::PreviousSecret) => "agrees with the digest of previous_app_secret",
                None if authorization.eq_ignore_ascii_case(&digest) => "is in upper case; TikTok Shop sends lower case",
                None => "has a different digest",
            };
            report.detail("input", style, compared);
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_to_sign: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
}
