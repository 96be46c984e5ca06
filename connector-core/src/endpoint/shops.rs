//! Get Authorized Shops: lists every shop that the consent covers, with the shop's cipher.
//!
//! Source: partner.tiktokshop.com/docv2/page/get-authorized-shops-202309. The endpoint has no paging and no parameters,
//! and the request has no cipher.

use super::api::ApiRequest;
use crate::connection::{ListedShop, ShopList};
use crate::envelope::{self, Acted, Fault, TRANSIENT_DELAY};
use crate::error::{Cause, Error};
use crate::http::{Method, Response};
use crate::json::Members;
use crate::secret::ShopCipher;
use alloc::vec::Vec;
use serde_json::value::RawValue;

/// The largest list that is read: 1 MiB. A shop takes some hundred bytes, and a seller has a handful of shops.
pub(crate) const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
const MAX_ID_DIGITS: usize = 19;

/// The request, before it is signed.
pub const REQUEST: ApiRequest<'static> = ApiRequest {
    method: Method::Get,
    path: "/authorization/202309/shops",
    query: &[],
    shop_cipher: None,
    content_type: None,
    body: &[],
    max_response_bytes: MAX_RESPONSE_BYTES,
};

/// Returns whether a text is a shop id: digits only. An id stays a text, because it is only compared with the ids in
/// webhooks.
pub(crate) fn is_shop_id(text: &str) -> bool {
    text.len() <= MAX_ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn listed(row: &Members<'_>) -> Option<ListedShop> {
    let text = |name: &str| row.text_or_digits(name).filter(|text| !text.is_empty());
    Some(ListedShop {
        id: text("id").filter(|id| is_shop_id(id))?,
        name: text("name").unwrap_or_default(),
        region: text("region").unwrap_or_default(),
        seller_type: text("seller_type").unwrap_or_default(),
        cipher: text("cipher").map(ShopCipher::new),
        code: text("code").unwrap_or_default(),
        raw: row.without("cipher")?,
    })
}

/// Reads every shop of the answer. An empty list is a valid answer. An entry that cannot be read costs no other shop; it
/// is counted.
///
/// # Errors
/// The same as [`envelope::read`]. A list in which no entry can be read is refused as `answer-unreadable`.
pub fn read(response: &Response, secrets: &[&str]) -> Result<ShopList, Fault> {
    let text = response.text();
    let success = envelope::read(response, &text, secrets)?;
    let rows = success.data.and_then(|text| Members::parse(text.as_bytes())?.list("shops"));
    let list = rows.and_then(|rows| {
        let readable = |row: &&RawValue| listed(&Members::parse(row.get().as_bytes())?);
        let shops: Vec<_> = rows.iter().filter_map(readable).collect();
        let unreadable = rows.len() - shops.len();
        (rows.is_empty() || !shops.is_empty()).then_some(ShopList { shops, unreadable })
    });
    list.ok_or_else(|| {
        let mut error = Error::new(Cause::AnswerUnreadable).with_delay(TRANSIENT_DELAY).with_note("the list of shops");
        error.http_status = Some(response.status);
        error.request_id = success.request_id;
        Fault { error, acted: Acted::No }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn answer(data: &str) -> Response {
        let body = format!(r#"{{"code":0,"message":"success","request_id":"A","data":{data}}}"#);
        Response {
            status: 200,
            content_type: Some("application/json".into()),
            content_encoding: None,
            retry_after: None,
            date: None,
            body: body.into_bytes(),
        }
    }

    #[test]
    fn unknown_members_survive_as_written_and_the_cipher_does_not() {
        let response = answer(
            r#"{"shops":[{"id":"7490000000000000001","cipher":"ROW_x","zeta":{"b":1e400,"a":12345678901234567890123},"name":"Ä\u00e4","region":"GB","cipher":"ROW_y"}]}"#,
        );
        let shops = read(&response, &[]).expect("shops").shops;
        let [shop] = shops.as_slice() else { panic!("one shop") };
        assert_eq!(
            shop.raw,
            r#"{"id":"7490000000000000001","zeta":{"b":1e400,"a":12345678901234567890123},"name":"Ä\u00e4","region":"GB"}"#
        );
        assert_eq!(shop.name, "Ää");
        assert_eq!(shop.cipher.as_ref().map(ShopCipher::expose), Some("ROW_x"));
    }

    #[test]
    fn an_absent_empty_or_null_cipher_is_none() {
        let response = answer(
            r#"{"shops":[{"id":"1"},{"id":"2","cipher":""},{"id":"3","cipher":null},{"id":7490000000000000004}]}"#,
        );
        let shops = read(&response, &[]).expect("shops").shops;
        assert!(shops.iter().all(|shop| shop.cipher.is_none()));
        assert_eq!(shops.last().map(|shop| shop.id.as_str()), Some("7490000000000000004"), "a number keeps its digits");
    }

    #[test]
    fn an_entry_that_cannot_be_read_costs_no_other_shop() {
        for (entry, unreadable) in [
            (r#"{"id":"one"}"#, 1),
            (r#"{"id":null,"name":"no id"}"#, 1),
            (r#"{"id":"12345678901234567890"}"#, 1),
            ("null", 1),
            (r#"7,"text",[{"id":"3"}]"#, 3),
            (r#"{"id":7490000000000000002,"name":null}"#, 0),
            (r#"{"id":"2","name":"Teapot Corner \ud83d"}"#, 0),
        ] {
            let response = answer(&format!(r#"{{"shops":[{{"id":"1"}},{entry},{{"id":"9"}}]}}"#));
            let list = read(&response, &[]).expect(entry);
            let read: Vec<_> =
                list.shops.iter().map(|shop| shop.id.as_str()).filter(|id| ["1", "9"].contains(id)).collect();
            assert_eq!((read.as_slice(), list.unreadable), (["1", "9"].as_slice(), unreadable), "{entry}");
        }
    }

    #[test]
    fn an_empty_list_is_accepted_and_a_broken_list_is_refused() {
        assert_eq!(read(&answer(r#"{"shops":[]}"#), &[]).expect("none").shops.len(), 0);
        for data in [
            "null",
            "[]",
            "{}",
            r#"{"shops":[{"name":"no id"}]}"#,
            r#"{"shops":[{"id":"12345678901234567890"}]}"#,
            r#"{"shops":[1]}"#,
            r#"{"shops":null}"#,
        ] {
            let fault = read(&answer(data), &[]).err().expect(data);
            assert_eq!(fault.error.cause, Cause::AnswerUnreadable, "{data}");
        }
    }
}
