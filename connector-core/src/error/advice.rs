//! What a support desk needs to know of a cause beyond its sentence. The component never asks for it, so none of it is in
//! there; `docs/errors.md` is made of it.

use super::Cause;

/// Words for whoever has to deal with a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What to do.
    pub remedy: &'static str,
    /// What was sent to TikTok, and what stands afterwards.
    pub aftermath: &'static str,
}

const NOTHING_SENT: &str = "Nothing was sent to TikTok and nothing was written.";
const NOT_ACTED: &str = "TikTok did not act. Tokens and shops stand as they were, and a refresh may be tried again.";
const UNKNOWN: &str = "A request was sent, and nobody knows whether TikTok acted. All stored tokens are kept. After `connect` \
                       the code may be used up; the tokens of a `refresh` are not sent again for 120 s.";
const ENDED: &str = "The connection has ended; its tokens are kept, and a forced `refresh` tries them once more.";

impl Cause {
    /// What to do about it, and what stands afterwards.
    #[must_use]
    pub const fn advice(self) -> Advice {
        let (remedy, aftermath) = match self {
            Self::AccountChanged => (
                "Ask the seller which account they use. If it is another one now, let the customer connect again.",
                "The refresh worked, and its tokens are stored under the account that consented.",
            ),
            Self::AccountIdInvalid => ("Pass the account as `list-connections` names it.", NOTHING_SENT),
            Self::AccountRequired => {
                ("Pass the account. `list-connections` names those of the customer.", NOTHING_SENT)
            }
            Self::AnswerIncomplete => (
                "Call again after the delay. If it lasts, look into the host's log: it says whether TikTok closed the \
                 connection or a deadline ended it.",
                UNKNOWN,
            ),
            Self::AnswerTooLarge => (
                "Report it with the time of the call. A token answer may have 64 KiB, a list of shops 1 MiB, in at most 4096 \
                 pieces.",
                UNKNOWN,
            ),
            Self::AnswerUnreadable => (
                "Call again after the delay. If it lasts, the HTTP status tells more: 403 and 407 are mostly a firewall or \
                 proxy on the way, 404 a wrong host.",
                UNKNOWN,
            ),
            Self::AppKeyChanged => (
                "Configure the app key again under which the customer connected, or let the customer connect to the new app.",
                NOTHING_SENT,
            ),
            Self::AppRejected => (
                "Compare app key and app secret with Partner Center, and that the app is enabled. Apps of the US and of the \
                 rest of the world have keys of their own.",
                NOT_ACTED,
            ),
            Self::AuthorizationCodeSpent => (
                "Send the seller through the authorization link again. If it happens at once and every time, something calls \
                 `connect` twice with one callback.",
                "No new tokens are stored, and the code is of no use any more. An earlier connection of the account stands.",
            ),
            Self::AuthorizationExpired => ("Send the seller through the authorization link again.", ENDED),
            Self::AuthorizationLinkInvalid | Self::AuthorizationLinkMissing => {
                ("Copy the link from Partner Center into the app's credentials.", NOTHING_SENT)
            }
            Self::AuthorizationRevoked => {
                ("Send the seller through the authorization link again, if they want to stay connected.", ENDED)
            }
            Self::BackingOff => (
                "Call again after the delay. The connection's last failure names what is wrong; a forced `refresh` does not \
                 wait.",
                "TikTok was not asked for new tokens; those that are stored stay.",
            ),
            Self::CallMalformed => ("Correct what the detail names: path, query, body or content type.", NOTHING_SENT),
            Self::CallbackMalformed => (
                "Pass the query of the callback as the browser brought it, once, without the question mark.",
                NOTHING_SENT,
            ),
            Self::CallbackOfAnotherApp => (
                "Give every app a callback address of its own. If each has one, somebody may have sent the customer a link of \
                 another app.",
                NOTHING_SENT,
            ),
            Self::ClockSkewed => ("Set the clock of the host: synchronise it with a time server.", NOT_ACTED),
            Self::ConnectionRowNotSaved => (
                "Restore storage, then call `refresh`: it writes the row anew.",
                "TikTok acted, and the tokens are stored. Only what `list-connections` shows is out of date.",
            ),
            Self::ConsentRefused => (
                "The seller said no, or came back without a code. Offer the link again if they want to connect.",
                NOTHING_SENT,
            ),
            Self::CredentialsRefused => ("Give the tenant an app key and an app secret.", NOTHING_SENT),
            Self::CredentialsUnavailable => {
                ("Restore what the host reads its secrets from, then call again.", NOTHING_SENT)
            }
            Self::CustomerIdInvalid => ("Pass the platform's own identifier of its customer.", NOTHING_SENT),
            Self::EgressDenied => (
                "Allow both hosts on port 443, and check that their names do not resolve to a private address.",
                "The request did not leave the host.",
            ),
            Self::Internal => ("Report it with version, code and detail.", "All stored tokens stand."),
            Self::IpNotAllowed => (
                "Add the host's outgoing addresses to the app's list in Partner Center, or empty that list.",
                NOT_ACTED,
            ),
            Self::MissingPermission => (
                "Add the scope to the app in Partner Center, then send the seller through the authorization link again: an \
                 old consent does not gain it.",
                "TikTok did not act. The tokens are good, and the connection stands.",
            ),
            Self::NotASeller => (
                "Ask the customer to sign in to TikTok with the shop's main account before they consent.",
                "TikTok issued tokens for an account that is no seller's; they were not stored.",
            ),
            Self::NotConnected => ("Connect the customer first, or correct the account.", NOTHING_SENT),
            Self::OutcomeUnknown => (
                "Ask TikTok what became of it (search for the order, the product, …) before it is sent again.",
                "A request that changes something was sent, and nobody knows whether TikTok acted. The connection is as it was.",
            ),
            Self::RateLimited => (
                "Call again after the delay, not sooner. If it lasts, spread refreshes over time: they need not run at once.",
                NOT_ACTED,
            ),
            Self::Redirected => (
                "Report it. A proxy or captive portal on the way is the likeliest reason: TikTok's hosts are not known to \
                 redirect.",
                UNKNOWN,
            ),
            Self::RefreshInProgress => (
                "Call again after the delay. No harm is done: one call renews, all others get what it brings.",
                NOTHING_SENT,
            ),
            Self::RefreshOutcomeUnknown => (
                "Send the seller through the authorization link again. If it happens often, look for what ends calls between \
                 TikTok's answer and its save: deadlines, restarts, storage.",
                ENDED,
            ),
            Self::RefreshTooLate => (
                "Call again. If it lasts, the host's storage or clock is slow: between claim and request lay more than 80 s.",
                "Nothing was sent to TikTok, and the claim is given back.",
            ),
            Self::RevocationNotTried => (
                "Ask the seller to remove the app in Seller Center, if it must not stay authorized there.",
                "Nothing was sent to TikTok for this shop. It is disconnected here.",
            ),
            Self::SellerInactive | Self::ShopInactive => (
                "Ask the seller to look into Seller Center. A later `refresh` finds out when it is active again.",
                "TikTok did not act. The connection stands; the shops it knows are shown as inactive.",
            ),
            Self::ShopNoLongerGranted => (
                "Ask the seller whether they removed the shop; a new consent brings it back. `refresh` reads the list anew.",
                NOTHING_SENT,
            ),
            Self::ShopNotLinked => ("Link the shop first, or call for another.", NOTHING_SENT),
            Self::SignatureRejected => (
                "Compare the app secret with Partner Center. If it is the right one, report it: the signature would be wrong.",
                NOT_ACTED,
            ),
            Self::StateInvalid => ("Use 128 random bits, as text.", NOTHING_SENT),
            Self::StateMismatch => (
                "Let the customer start over. If it happens often, the state is not kept with the customer's session; if \
                 not, somebody may have sent them a link of their own.",
                NOTHING_SENT,
            ),
            Self::StorageConflict => (
                "Call again. If it lasts, something writes the same record in a loop.",
                "Nothing was written by this call.",
            ),
            Self::StorageRefused => (
                "Look into the host's storage: it answered, and refused to write (permission, size, disk).",
                "No token was sent without a claim that is stored. All stored tokens stand.",
            ),
            Self::StorageUnavailable => (
                "Restore storage, then call again.",
                "No token was sent without a claim that is stored. All stored tokens stand.",
            ),
            Self::TikTokRefused => {
                ("Look at the detail: it has TikTok's code and words. Report it with the request id.", NOT_ACTED)
            }
            Self::TikTokUnavailable => (
                "Call again after the delay. If it lasts for many customers, look at TikTok Shop's status before you search \
                 at home.",
                UNKNOWN,
            ),
            Self::TikTokUnreachable => (
                "Call again after the delay. If it lasts, check name resolution, firewall and certificates of the host; its \
                 log names the step that failed.",
                "Nothing was sent to TikTok. A refresh gives its claim back.",
            ),
            Self::TokenAnswerIncomplete => (
                "Report it to TikTok with the request id: it said success and left out a token.",
                "TikTok said success. What it sent is stored, all earlier tokens are kept, and none is sent again for 120 s.",
            ),
            Self::TokenExpired | Self::TokenInvalid => {
                ("Call again after the delay: the next `refresh` renews the tokens.", NOT_ACTED)
            }
            Self::TokenNotSaved => (
                "Restore storage, then call again: once the claim has lapsed, the earlier refresh token is tried. If TikTok \
                 has replaced it, a new consent is needed.",
                "TikTok issued new tokens, and storage did not take them. The record has the earlier ones, and the claim of \
                 120 s stands.",
            ),
            Self::TokenRecordTooNew => ("Deploy the newer version everywhere. Do not go back.", NOTHING_SENT),
            Self::TokenRecordUnreadable => (
                "Restore the record from a backup, or let the customer connect again after it was removed.",
                NOTHING_SENT,
            ),
            Self::TokenRefused => (
                "Call again later. If it lasts, report it with the request id: TikTok issues tokens and refuses them.",
                "The new tokens are stored. The shops known before stay.",
            ),
            Self::UnknownShop => (
                "Correct the shop's id as `list-shops` names it. A shop that was added since: `refresh` reads the list anew.",
                NOTHING_SENT,
            ),
            Self::UnrecognisedAnswer => (
                "Call again after the delay. The detail has TikTok's code and words: if it lasts, report them, so that the \
                 code gets a meaning of its own.",
                UNKNOWN,
            ),
            Self::UnrecognisedAnswerRepeated => {
                ("Report the code and words in the detail. Do not ask the seller for anything yet.", UNKNOWN)
            }
            Self::ValidityTooLong => ("Ask for at most 3600 seconds, and again when they are over.", NOTHING_SENT),
            Self::WebhookMalformed => (
                "Answer 200, so that TikTok does not repeat it, and keep the body: it is signed, but not an event as documented.",
                NOTHING_SENT,
            ),
            Self::WebhookSignatureInvalid => (
                "Answer 401 with an empty body. If it happens to every webhook, pass the raw bytes of the body (a framework may \
                 have parsed and rewritten them) and compare the app secret with Partner Center.",
                NOTHING_SENT,
            ),
            Self::WrongUserType => (
                "Ask the seller to consent with the account of their shop; creators and partners have other rights.",
                NOT_ACTED,
            ),
        };
        Advice { remedy, aftermath }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_whole_sentences() {
        for cause in Cause::ALL {
            let Advice { remedy, aftermath } = cause.advice();
            for text in [cause.sentence(), remedy, aftermath] {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", cause.code());
            }
        }
    }
}
