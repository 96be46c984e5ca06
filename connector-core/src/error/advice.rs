//! Advice for a support desk about each cause of an error. `docs/errors.md` is generated from these texts. The
//! component never uses them, so the linker leaves them out of the component.

use super::Cause;

/// Advice about a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What to do.
    pub remedy: &'static str,
    /// What was sent to TikTok, and what is stored afterwards.
    pub aftermath: &'static str,
}

const NOTHING_SENT: &str = "Nothing was sent to TikTok, and nothing was written.";
const ROW_KEPT: &str = "The tokens and the row are kept.";
const NOT_ACTED: &str = "TikTok did not act. Tokens and shops have not changed, and a refresh may be tried again.";
const UNKNOWN: &str = "A request was sent, and nobody knows whether TikTok acted. All stored tokens are kept. After \
                       `connect` the code may be spent. The tokens of a `refresh` are not sent again for 120 s.";
const ENDED: &str = "The connection has ended. Its tokens are kept, and a forced `refresh` tries them once more. Its \
                     access token is not used any more, and the ciphers of its shops are erased.";

impl Cause {
    /// Returns the advice about this cause.
    #[must_use]
    pub const fn advice(self) -> Advice {
        let (remedy, aftermath) = match self {
            Self::AccountChanged => (
                "Ask the seller which account they use. If it is another account now, let the customer connect again.",
                "The refresh worked. Its tokens are stored under the account that consented.",
            ),
            Self::AccountIdInvalid => ("Pass the account as `list-connections` names it.", NOTHING_SENT),
            Self::AccountOfAnotherApp => (
                "Let the customer connect an account of this app. If the account has moved to this app, disconnect it \
                 first, and then let the customer connect again.",
                "Tokens that TikTok issued in this call were not stored. The earlier connection of the account has not \
                 changed.",
            ),
            Self::AccountRequired => {
                ("Pass the account. `list-connections` names the accounts of the customer.", NOTHING_SENT)
            }
            Self::AlreadyConnected => (
                "Nothing. If the connection must take the tokens of the other system, first disconnect this account \
                 without revoking it, because a revocation also ends the access of those tokens.",
                "The connection has not changed. If the call named the account, nothing was sent to TikTok. Otherwise \
                 TikTok issued tokens for the account, and the connection keeps the refresh token as a fallback.",
            ),
            Self::AnswerCoded => (
                "Call again after the delay. If it happens again, look for a gateway or proxy on the way that compresses \
                 answers: the detail names the coding. The reference host decodes gzip and deflate.",
                UNKNOWN,
            ),
            Self::AnswerIncomplete => (
                "Call again after the delay. If it happens again, read the log of the host: it says whether TikTok \
                 closed the connection or a deadline ended it.",
                UNKNOWN,
            ),
            Self::AnswerTooLarge => (
                "Report it with the time of the call. A token answer has at most 64 KiB, and a list of shops at most \
                 1 MiB. An answer to `call` has at most 4 MiB in the service. In the libraries and the command line it \
                 has at most 1 MiB. A call of a library can set another limit, up to 4 MiB (`max_response_bytes`). \
                 Every answer has at most 4096 chunks.",
                UNKNOWN,
            ),
            Self::AnswerUnreadable => (
                "Call again after the delay. If it happens again, look at the HTTP status: 403 and 407 usually come \
                 from a firewall or proxy on the way, 404 from a wrong host.",
                UNKNOWN,
            ),
            Self::AppRejected => (
                "Compare the app key and the app secret with Partner Center, and check that the app is enabled. An app \
                 for the US and an app for the rest of the world have different keys.",
                NOT_ACTED,
            ),
            Self::AppRequired => ("Pass the key of one of the apps that the detail names.", NOTHING_SENT),
            Self::AppUnknown => (
                "Configure the app under which the customer connected, or let the customer connect to another app. If \
                 the caller named the app, correct the name.",
                "Nothing was sent to TikTok. The tokens of the connection are kept.",
            ),
            Self::AuthorizationCodeSpent => (
                "Send the seller through the authorization link again. If it happens at once and every time, a program \
                 calls `connect` twice with the same callback.",
                "No new tokens are stored, and the code cannot be used any more. An earlier connection of the account \
                 is kept.",
            ),
            Self::AuthorizationExpired => ("Send the seller through the authorization link again.", ENDED),
            Self::AuthorizationInactive => (
                "Ask the seller to look into Seller Center, under App Store, My apps. If the app is not active there, \
                 send the seller through the authorization link again.",
                NOT_ACTED,
            ),
            Self::AuthorizationLinkInvalid | Self::AuthorizationLinkMissing => {
                ("Copy the link from Partner Center into the credentials of the app.", NOTHING_SENT)
            }
            Self::AuthorizationRevoked => (
                "If the seller wants to stay connected, send them through the authorization link again.",
                "The connection has ended. If TikTok reported that the seller removed the app, or if a shop was revoked \
                 here, the tokens of the connection are erased. Otherwise they are kept, and a forced `refresh` tries them \
                 once more. Its access token is not used any more, and the ciphers of its shops are erased.",
            ),
            Self::BackingOff => (
                "Call again after the delay. The last failure of the connection says what is wrong. A forced `refresh` \
                 does not wait.",
                "TikTok was not asked for new tokens. The stored tokens are kept.",
            ),
            Self::CallMalformed => {
                ("Correct the part that the detail names: path, query, body or content type.", NOTHING_SENT)
            }
            Self::CallbackMalformed => (
                "Pass the query of the callback as the browser sent it, completely, once and without the question mark. The \
                 state of the consent can still be used.",
                NOTHING_SENT,
            ),
            Self::CallbackOfAnotherApp => (
                "Let the customer start again. Compare the app of the link with the app that the call named. If this \
                 happens rarely, somebody may have sent the customer a link of another app.",
                NOTHING_SENT,
            ),
            Self::ClockSkewed => {
                ("Set the clock of the host. Synchronise it with a time server from now on.", NOT_ACTED)
            }
            Self::ConnectionRowNotSaved => (
                "Restore storage, then call `refresh`. It writes the row again.",
                "TikTok acted, and the tokens are stored. Only the row that `list-connections` shows is out of date.",
            ),
            Self::ConsentRefused => {
                ("The seller refused. If they want to connect, offer the link again.", NOTHING_SENT)
            }
            Self::CredentialsRefused => (
                "Configure 1 to 16 apps for the tenant, each with an app key and an app secret. If the detail says \
                 that the storage belongs to a fake or to TikTok Shop, use another database.",
                NOTHING_SENT,
            ),
            Self::CredentialsUnavailable => {
                ("Restore the place from which the host reads its secrets, then call again.", NOTHING_SENT)
            }
            Self::CustomerIdInvalid => ("Pass the platform's own identifier of its customer.", NOTHING_SENT),
            Self::EgressDenied => (
                "Allow both hosts on port 443, and check that their names do not resolve to a private address.",
                "The request did not leave the host.",
            ),
            Self::GrantMalformed => {
                ("Pass the tokens as TikTok issued them, without quotation marks and spaces.", NOTHING_SENT)
            }
            Self::Internal => ("Report it with the version, the code and the detail.", "All stored tokens are kept."),
            Self::IpNotAllowed => (
                "Add the host's outgoing addresses to the app's list in Partner Center, or empty that list.",
                NOT_ACTED,
            ),
            Self::MissingPermission => (
                "Add the scope to the app in Partner Center. Then send the seller through the authorization link \
                 again, because an old consent does not get the new scope.",
                "TikTok did not act. The tokens are valid, and the connection is kept.",
            ),
            Self::NotASeller => (
                "Ask the customer to sign in to TikTok with the main account of the shop before they consent.",
                "TikTok issued tokens for an account that is not a seller's. They were not stored.",
            ),
            Self::NotConnected => ("Connect the customer first, or correct the account.", NOTHING_SENT),
            Self::OutcomeUnknown => (
                "Ask TikTok for the result before you send the request again: search for the order, the product and so \
                 on.",
                "A request that changes something was sent, and nobody knows whether TikTok acted. The connection has \
                 not changed.",
            ),
            Self::PendingInstallMalformed => (
                "Pass the bytes of `exchange-install` unchanged, and the app that it named. If a newer version of the \
                 connector wrote them, deploy that version and confirm again.",
                NOTHING_SENT,
            ),
            Self::RateLimited => (
                "Call again after the delay, not sooner. If it happens often, spread the refreshes over time. They \
                 need not run at once.",
                NOT_ACTED,
            ),
            Self::Redirected => (
                "Report it. The likeliest reason is a proxy or captive portal on the way: TikTok's hosts are not known \
                 to redirect.",
                UNKNOWN,
            ),
            Self::RefreshInProgress => (
                "Call again after the delay. One call renews the tokens, and all other calls get the new ones. If the \
                 answer to an earlier call was lost, the next call sends a request when its claim has lapsed.",
                NOTHING_SENT,
            ),
            Self::RefreshOutcomeUnknown => (
                "Send the seller through the authorization link again. If it happens often, find out what ends calls \
                 between TikTok's answer and the save: deadlines, restarts or storage.",
                ENDED,
            ),
            Self::RefreshTooLate => (
                "Call again. If it happens again, the host's storage or clock is slow: more than 80 s passed between \
                 the claim and the request.",
                "Nothing was sent to TikTok, and the claim is given back.",
            ),
            Self::RevocationNotTried => (
                "If the shop must not stay authorized, ask the seller to remove the app in Seller Center.",
                "Nothing was sent to TikTok for this shop. The shop is disconnected here.",
            ),
            Self::RowChanged => (
                "Find out who changed the database. Restore the row from a backup. Or delete the row: the next \
                 `refresh` makes a new one and links the shops by the policy of the consent. `disconnect` also deletes \
                 it.",
                "The tokens are kept and still renewed. Other rows are not affected.",
            ),
            Self::RowTooNew => ("Deploy the newer version everywhere. Do not go back to the older one.", ROW_KEPT),
            Self::RowUnreadable => (
                "Restore the row from a backup. Or delete the row: the next `refresh` makes a new one and links the \
                 shops by the policy of the consent. `disconnect` also deletes it.",
                "The tokens are kept and still renewed. Other rows are not affected.",
            ),
            Self::SellerInactive | Self::ShopInactive => (
                "Ask the seller to look into Seller Center. A later `refresh` finds out when the seller or shop is \
                 active again.",
                "TikTok did not act. The connection is kept. Its known shops are shown as inactive.",
            ),
            Self::ShopNoLongerGranted => (
                "Ask the seller whether they removed the shop. A new consent brings it back. `refresh` reads the list \
                 again.",
                NOTHING_SENT,
            ),
            Self::ShopNotLinked => ("Link the shop first, or make the call for another shop.", NOTHING_SENT),
            Self::ShopCipherMissing => (
                "Call `refresh`, then make the call again. If it happens again, TikTok lists the shop without a \
                 cipher: report it with the request id.",
                "TikTok did not act. The connection is kept, and a refresh is due.",
            ),
            Self::ShopEntryUnreadable => (
                "Report the detail to TikTok: it names the entry and its members. Known shops that the list does not \
                 contain keep their standing, because the entry may be one of them.",
                "The shops that can be read are stored. An entry without a readable id is left out. If another member \
                 cannot be read, the shop is stored without it.",
            ),
            Self::ShopUnconfirmed => (
                "Call again after the delay: a sweep makes the refresh that is due. Without sweeps, call `refresh`.",
                NOTHING_SENT,
            ),
            Self::SignatureRejected => (
                "Compare the app secret with Partner Center. If the secret is right, report it: the connector's \
                 signature would be wrong.",
                NOT_ACTED,
            ),
            Self::StateInvalid => ("Use 128 random bits, written as text.", NOTHING_SENT),
            Self::StateMismatch => (
                "Let the customer start again. If it happens often, the state is not kept with the customer's session. \
                 If it happens rarely, somebody may have sent the customer a link of their own.",
                NOTHING_SENT,
            ),
            Self::StorageConflict => (
                "Call again. If it happens again, a program writes the same record in a loop.",
                "This call wrote nothing.",
            ),
            Self::StorageRefused => (
                "Look at the host's storage. It answered and refused to write, for example because of a permission, a \
                 size or a full disk.",
                "No refresh token was sent without a stored claim. All stored tokens are kept.",
            ),
            Self::StorageUnavailable => (
                "Restore storage, then call again.",
                "No refresh token was sent without a stored claim. All stored tokens are kept.",
            ),
            Self::TikTokRefused => {
                ("Read the detail: it has TikTok's code and message. Report it with the request id.", NOT_ACTED)
            }
            Self::TikTokUnavailable => (
                "Call again after the delay. If it happens for many customers, look at TikTok Shop's status before you \
                 search in your own systems.",
                UNKNOWN,
            ),
            Self::TikTokUnreachable => (
                "Call again after the delay. If it happens again, check the name resolution, firewall, forward proxy \
                 and certificates of the host. The detail names a proxy that gave no connection. The host's log names \
                 the step that failed.",
                "Nothing was sent to TikTok. A refresh gives its claim back.",
            ),
            Self::TokenAnswerIncomplete => (
                "Report it to TikTok with the request id: TikTok reported success and left out a token.",
                "TikTok reported success. The token that it sent is stored. All earlier tokens are kept, and none is \
                 sent again for 120 s.",
            ),
            Self::TokenExpired | Self::TokenInvalid => {
                ("Call again after the delay. The next `refresh` renews the tokens.", NOT_ACTED)
            }
            Self::TokenNotSaved => (
                "Restore storage, then call again. When the claim has lapsed, the call tries the earlier refresh \
                 token. If TikTok has replaced that token, a new consent is needed.",
                "TikTok issued new tokens, and storage did not take them. The record has the earlier tokens, and its \
                 claim lasts 120 s.",
            ),
            Self::TokenRecordTooNew => {
                ("Deploy the newer version everywhere. Do not go back to the older one.", NOTHING_SENT)
            }
            Self::TokenRecordUnreadable => {
                ("Restore the record from a backup, or disconnect and let the customer connect again.", NOTHING_SENT)
            }
            Self::TokenRefused => (
                "Call again later. If it happens again, report it with the request id: TikTok issues tokens and \
                 refuses them.",
                "The new tokens are stored. The known shops are kept.",
            ),
            Self::TooManyShops => (
                "Report it with the time of the call: no seller is known to have that many shops. If the connection \
                 knows many shops that TikTok no longer lists, disconnect and connect again.",
                "The tokens and the known shops are kept as they were. Nothing of the list is stored.",
            ),
            Self::UnknownShop => (
                "Pass the id of the shop as `list-shops` names it. If the shop is new, call `refresh`: it reads the \
                 list again.",
                NOTHING_SENT,
            ),
            Self::UnrecognisedAnswer => (
                "Call again after the delay. If it happens again, report TikTok's code and message from the detail, so \
                 that a later version knows the code.",
                UNKNOWN,
            ),
            Self::UnrecognisedAnswerRepeated => {
                ("Report the code and message in the detail. Do not ask the seller for a consent yet.", UNKNOWN)
            }
            Self::ValidityTooLong => ("Ask for at most 3600 seconds, and ask again when they are over.", NOTHING_SENT),
            Self::WebhookMalformed => (
                "If the detail contains a maximum number of bytes, the body is too large: answer 413. Its signature was \
                 not checked, and the host library refuses more than 256 KiB by default. Otherwise answer 500, so that \
                 TikTok repeats it, and show it to an operator. The signature is then right, so TikTok has sent this \
                 body. Partner Center has a log of the webhooks that TikTok sent.",
                NOTHING_SENT,
            ),
            Self::WebhookSignatureInvalid => (
                "Answer 401 with an empty body. If it happens to every webhook, compare the app secret with Partner \
                 Center, and pass the raw bytes of the body: a framework may have parsed and rewritten them.",
                NOTHING_SENT,
            ),
            Self::WrongUserType => (
                "Ask the seller to consent with the account of their shop. Creators and partners have other rights.",
                NOT_ACTED,
            ),
        };
        Advice { remedy, aftermath }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{CLAIM_LIFE, REQUEST_BUDGET, SAVE_BUDGET};
    use crate::endpoint::{business, shops, token};
    use crate::operation::access_token::MAX_VALIDITY_SECONDS;
    use crate::{authorization_link, callback, connection, credentials, existing_grant, http, identity, webhook};
    use alloc::format;

    #[test]
    fn every_cause_has_whole_sentences() {
        for cause in Cause::ALL {
            let Advice { remedy, aftermath } = cause.advice();
            for text in [cause.sentence(), remedy, aftermath] {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", cause.code());
            }
        }
    }

    /// The texts are literals that contain limits as numbers. If a limit in the code changes, this test fails, so that
    /// no text keeps the old number.
    #[test]
    fn every_number_in_a_text_is_the_limit_in_the_code() {
        let (kib, mib) = (1024, 1024 * 1024);
        let claim_life = format!("{} s.", CLAIM_LIFE.as_secs());
        let latest_start = format!("more than {} s ", (CLAIM_LIFE - REQUEST_BUDGET - SAVE_BUDGET).as_secs());
        let token_answer = format!("A token answer has at most {} KiB", token::MAX_RESPONSE_BYTES / kib);
        let shop_list = format!("a list of shops at most {} MiB", shops::MAX_RESPONSE_BYTES / mib);
        let call_answer = format!("An answer to `call` has at most {} MiB", business::MAX_RESPONSE_BYTES / mib);
        let chunks = format!("at most {} chunks", http::MAX_RESPONSE_CHUNKS);
        let id_bytes = format!("1 to {} bytes", identity::MAX_ID_BYTES);
        let validity = format!("at most {MAX_VALIDITY_SECONDS} seconds");
        for (text, number) in [
            (UNKNOWN, &claim_life),
            (Cause::RefreshInProgress.sentence(), &format!("less than {} s ", CLAIM_LIFE.as_secs())),
            (Cause::TokenAnswerIncomplete.advice().aftermath, &claim_life),
            (Cause::TokenNotSaved.advice().aftermath, &claim_life),
            (Cause::RefreshTooLate.advice().remedy, &latest_start),
            (Cause::AnswerTooLarge.advice().remedy, &token_answer),
            (Cause::AnswerTooLarge.advice().remedy, &shop_list),
            (Cause::AnswerTooLarge.advice().remedy, &call_answer),
            (Cause::AnswerTooLarge.advice().remedy, &chunks),
            (Cause::AccountIdInvalid.sentence(), &id_bytes),
            (Cause::CustomerIdInvalid.sentence(), &id_bytes),
            (Cause::CredentialsRefused.advice().remedy, &format!("1 to {} apps", credentials::MAX_APPS)),
            (Cause::GrantMalformed.sentence(), &format!("1 to {} visible", existing_grant::MAX_TOKEN_BYTES)),
            (Cause::CallbackMalformed.sentence(), &format!("longer than {} bytes", callback::MAX_QUERY_BYTES)),
            (Cause::StateInvalid.sentence(), &format!("1 to {} bytes", authorization_link::MAX_STATE_BYTES)),
            (Cause::TooManyShops.sentence(), &format!("at most {} shops", connection::MAX_SHOPS)),
            (Cause::ValidityTooLong.sentence(), &validity),
            (Cause::ValidityTooLong.advice().remedy, &validity),
            (Cause::WebhookMalformed.sentence(), &format!("larger than {} MiB", webhook::MAX_BODY_BYTES / mib)),
        ] {
            assert!(text.contains(number.as_str()), "{number:?} is not in {text:?}");
        }
    }
}
