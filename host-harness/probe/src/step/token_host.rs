//! Asks the token host with an invented code, which grants nothing and costs nothing.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::http::Answer;
use crate::report::Ended;
use crate::session::{BAD_REQUEST, Session, UNKNOWN_CODE, random_text};
use crate::switch::Switch;
use crate::world::World;

/// The text of the finding when it is unknown whether the token host has looked at the secret.
pub(super) const CODE_FIRST: &str = "a code that does not exist gets 36004004 with the right and with a wrong secret, so it is unknown which of them is \
     checked first; run the probe with --risk-the-consent to see it";

impl<W: World> Session<'_, W> {
    /// Exchanges an invented code, with the right app secret and with a wrong one.
    pub(crate) async fn ask_the_token_host(&mut self) -> Result<(), Ended> {
        self.step("Exchanged an invented code.");
        let code = random_text()?;
        let answer = self.exchange(&code, None, "an invented code").await?;
        self.see_clock(&answer);
        self.fact("IP allow list", "no list has blocked this machine at the token host");
        if answer.code() == Some(BAD_REQUEST) && is_about_the_app(answer.message()) {
            let message = self.shown(answer.message());
            return Err(Ended::WrongSecret(format!("{}, “{message}”", answer.in_words())));
        }
        if answer.code().is_none() {
            return Err(Ended::Refused(format!(
                "an invented code gets {}, so this is not the token host",
                answer.in_words()
            )));
        }
        if answer.code() == Some(0) {
            return Err(Ended::Refused("an invented code is accepted, so this is not the token host".to_owned()));
        }
        self.find(Switch::TokenFailure, token_failure(&answer));

        self.step("Exchanged an invented code with a wrong app secret.");
        let secret = random_text()?;
        let wrong = self.exchange(&code, Some(&secret), "a wrong app secret").await?;
        let finding = match wrong.verdict() {
            same if same == answer.verdict() => match same {
                (200, Some(UNKNOWN_CODE)) => Finding::unclear(CODE_FIRST),
                _ => Finding::unclear(format!("an invented code gets {} with every secret", wrong.in_words())),
            },
            (200, Some(BAD_REQUEST)) => Finding::seen("ok", wrong.in_words()),
            (400, Some(BAD_REQUEST)) => Finding::seen("bad-request", wrong.in_words()),
            (401, Some(BAD_REQUEST)) => Finding::seen("unauthorized", wrong.in_words()),
            _ => Finding::unclear(format!("a wrong secret gets {}", wrong.in_words())),
        };
        self.find(Switch::WrongSecret, finding);
        Ok(())
    }

    /// Compares the clocks. Signed calls then use TikTok Shop's time, so that a wrong clock ends no run.
    fn see_clock(&mut self, answer: &Answer) {
        let here = self.world.now().as_secs();
        let Some(date) = answer.date() else {
            return self.fact("clock", "unknown, because the answer has no Date that can be read");
        };
        let offset = i64::try_from(i128::from(date) - i128::from(here)).unwrap_or_default();
        self.offset = Some(offset);
        self.fact(
            "clock",
            match offset {
                0 => "the clock of this machine is right to the second".to_owned(),
                1.. => format!("the clock of this machine is {offset} s behind TikTok Shop's"),
                ..0 => format!("the clock of this machine is {} s ahead of TikTok Shop's", offset.unsigned_abs()),
            },
        );
    }
}

/// Returns whether a message with the code 36009004 says that the app key or the app secret is wrong. The code also
/// stands for other mistakes.
fn is_about_the_app(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["app_key", "app key", "app_secret", "app secret", "credential"].iter().any(|words| message.contains(words))
}

fn token_failure(answer: &Answer) -> Finding {
    let members: BTreeSet<&str> =
        answer.members.iter().flat_map(|members| members.keys().map(String::as_str)).collect();
    let has_link = answer.message().contains("://");
    let data_is_null = answer.data().is_some_and(serde_json::Value::is_null);
    let short = BTreeSet::from(["code", "message", "request_id"]);
    let long = BTreeSet::from(["code", "data", "message", "request_id"]);
    let names = members.iter().copied().collect::<Vec<_>>().join(", ");
    if members == short && !has_link {
        Finding::seen("recorded", format!("members {names}, no link in the message"))
    } else if members == long && data_is_null && has_link {
        Finding::seen("like-api-host", format!("members {names}, data is null, a link in the message"))
    } else {
        let link = if has_link { "a link" } else { "no link" };
        Finding::unclear(format!("members {names}, {link} in the message"))
    }
}
