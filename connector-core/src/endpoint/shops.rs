//! The endpoint Get Authorized Shops: lists every shop that the consent covers, with the shop's cipher.
//!
//! Source: partner.tiktokshop.com/docv2/page/get-authorized-shops-202309. The endpoint has no paging and no parameters,
//! and the request has no cipher.

use super::api::ApiRequest;
use super::business::{BusinessRequest, BusinessResponse};
use crate::connection::{ListedShop, MAX_SHOPS, ShopList};
use crate::envelope::{self, Acted, Fault, TRANSIENT_DELAY};
use crate::error::{Cause, Error};
use crate::http::{Method, Response};
use crate::json::Members;
use crate::secret::ShopCipher;
use alloc::format;
use alloc::vec::Vec;

/// The largest list that is read: 1 MiB. A shop takes a few hundred bytes, and a seller usually has only a handful of
/// shops.
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

/// Returns [`REQUEST`] as a [`BusinessRequest`], the type of the requests that the operation `call` sends.
pub(crate) fn business_request() -> BusinessRequest {
    BusinessRequest {
        method: REQUEST.method,
        path: REQUEST.path.into(),
        query: Vec::new(),
        content_type: None,
        body: Vec::new(),
        max_response_bytes: u32::try_from(MAX_RESPONSE_BYTES).unwrap_or(u32::MAX),
    }
}

/// Reads TikTok's list of shops from the answer to a [`business_request`].
///
/// # Errors
/// The same as [`read`].
pub(crate) fn read_business(response: BusinessResponse, secrets: &[&str]) -> Result<ShopList, Fault> {
    let BusinessResponse { status, content_type, body, code: _, request_id: _ } = response;
    let response = Response { status, content_type, content_encoding: None, retry_after: None, date: None, body };
    Ok(read(&response, secrets)?.list)
}

/// Returns true if a text consists of at most 19 digits and nothing else. Every shop id has this form. Also returns
/// true for an empty text. A shop id is kept as text, because it is only compared with the ids in webhooks.
pub(crate) fn is_shop_id(text: &str) -> bool {
    text.len() <= MAX_ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads one entry of the list. Returns the shop, and the names of the members that exist but cannot be read. The shop
/// is `None` if its id cannot be read.
fn listed(row: &Members<'_>) -> (Option<ListedShop>, Vec<&'static str>) {
    let mut unreadable = Vec::new();
    let mut text = |name: &'static str| {
        let text = row.text_or_digits(name);
        // A cipher may be null: TikTok's page calls it optional for local shops.
        if text.is_none() && row.raw(name).is_some_and(|raw| name != "cipher" || raw != "null") {
            unreadable.push(name);
        }
        text.filter(|text| !text.is_empty())
    };
    let id = text("id").filter(|id| is_shop_id(id));
    let (name, region, seller_type) = (text("name"), text("region"), text("seller_type"));
    let (cipher, code) = (text("cipher").map(ShopCipher::new), text("code"));
    let shop = id.zip(row.without("cipher")).map(|(id, raw)| ListedShop {
        id,
        name: name.unwrap_or_default(),
        region: region.unwrap_or_default(),
        seller_type: seller_type.unwrap_or_default(),
        cipher,
        code: code.unwrap_or_default(),
        raw,
    });
    (shop, unreadable)
}

/// TikTok's list, and the parts of it that cannot be read.
pub struct Listing {
    /// The shops that can be read.
    pub list: ShopList,
    /// An error that names the entries that cannot be read completely. `None` if every entry can be read.
    pub flaw: Option<Error>,
}

/// Reads the shops of the answer. An empty list is a valid answer. If an entry cannot be read, the shops of the other
/// entries are still returned, and `flaw` says which entry cannot be read and what is wrong with it.
///
/// # Errors
/// - The same as [`envelope::read`].
/// - `answer-unreadable` if there is no list, or if the list has entries but none with a readable id. Because this is
///   an error and not an empty list, no known shop is marked as no longer granted.
/// - `too-many-shops` if the list has more than [`MAX_SHOPS`] entries. In this case, no entry is read.
pub fn read(response: &Response, secrets: &[&str]) -> Result<Listing, Fault> {
    let text = response.text();
    let success = envelope::read(response, &text, secrets)?;
    let error = |cause: Cause, note: &str| {
        let mut error = Error::new(cause).with_delay(TRANSIENT_DELAY).with_note(note);
        error.http_status = Some(response.status);
        error.request_id.clone_from(&success.request_id);
        error
    };
    let fault = |cause: Cause, note: &str| Fault { error: error(cause, note), acted: Acted::No };
    let rows = success.data.and_then(|text| Members::of(text)?.list("shops"));
    let Some(rows) = rows else { return Err(fault(Cause::AnswerUnreadable, "the list of shops")) };
    if rows.len() > MAX_SHOPS {
        return Err(fault(Cause::TooManyShops, &format!("the list has {} entries", rows.len())));
    }
    let mut list = ShopList { shops: Vec::with_capacity(rows.len()), unreadable: 0 };
    let mut flaws = Vec::new();
    for (number, row) in (1_usize..).zip(&rows) {
        let (shop, members) = Members::of(row.get()).map_or_else(Default::default, |row| listed(&row));
        match &shop {
            None => flaws.push(format!("entry {number} has no readable id")),
            Some(shop) if !members.is_empty() => flaws.push(format!("{} of shop {}", members.join(", "), shop.id)),
            Some(_) => {}
        }
        list.unreadable += usize::from(shop.is_none());
        list.shops.extend(shop);
    }
    if list.shops.is_empty() && list.unreadable > 0 {
        return Err(fault(Cause::AnswerUnreadable, "the list of shops"));
    }
    let flaw = (!flaws.is_empty()).then(|| error(Cause::ShopEntryUnreadable, &flaws.join("; ")));
    Ok(Listing { list, flaw })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::string::String;
    use alloc::vec;

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
        let listing = read(&response, &[]).expect("shops");
        let [shop] = listing.list.shops.as_slice() else { panic!("one shop") };
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
        let Listing { list: ShopList { shops, unreadable }, flaw } = read(&response, &[]).expect("shops");
        assert_eq!((unreadable, flaw), (0, None));
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
            let list = read(&response, &[]).expect(entry).list;
            let read: Vec<_> =
                list.shops.iter().map(|shop| shop.id.as_str()).filter(|id| ["1", "9"].contains(id)).collect();
            assert_eq!((read.as_slice(), list.unreadable), (["1", "9"].as_slice(), unreadable), "{entry}");
        }
    }

    #[test]
    fn an_empty_list_is_accepted_and_a_broken_list_is_refused() {
        assert_eq!(read(&answer(r#"{"shops":[]}"#), &[]).expect("none").list.shops.len(), 0);
        for data in [
            "null",
            "[]",
            "{}",
            r#"{"shops":[{"name":"no id"}]}"#,
            r#"{"shops":[{"id":"12345678901234567890"}]}"#,
            r#"{"shops":[null,{"id":"one"},{"id":null}]}"#,
            r#"{"shops":[1]}"#,
            r#"{"shops":null}"#,
        ] {
            let fault = read(&answer(data), &[]).err().expect(data);
            assert_eq!(fault.error.cause, Cause::AnswerUnreadable, "{data}");
        }
    }

    /// Reads these entries. Returns the ids of the shops, the number of the entries without a readable id, and the note
    /// in `flaw`.
    fn read_entries(entries: &str) -> (Vec<String>, usize, Option<String>) {
        let Listing { list, flaw } = read(&answer(&format!(r#"{{"shops":[{entries}]}}"#)), &[]).expect(entries);
        let told = flaw.map(|error| {
            assert_eq!((error.cause, error.http_status), (Cause::ShopEntryUnreadable, Some(200)));
            assert_eq!(error.request_id.as_deref(), Some("A"));
            error.detail().split_once(" [").expect("a note").1.trim_end_matches(']').into()
        });
        (list.shops.into_iter().map(|shop| shop.id).collect(), list.unreadable, told)
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_told_and_the_others_are_kept() {
        let good = r#"{"id":"1","name":"A","region":"GB","seller_type":"LOCAL","cipher":"c","code":"GB1"}"#;
        let table = [
            // Each row: an entry that is listed after the good entry, the id that is read from it, and the note in
            // `flaw`.
            (
                r#"{"id":7490000000000000002,"name":null}"#,
                Some("7490000000000000002"),
                "name of shop 7490000000000000002",
            ),
            (r#"{"id":"2","region":{},"cipher":[],"code":true}"#, Some("2"), "region, cipher, code of shop 2"),
            (r#"{"id":"one"}"#, None, "entry 2 has no readable id"),
            (r#"{"id":"12345678901234567890"}"#, None, "entry 2 has no readable id"),
            (r#"{"name":"no id"}"#, None, "entry 2 has no readable id"),
            ("null", None, "entry 2 has no readable id"),
            ("[]", None, "entry 2 has no readable id"),
        ];
        for (bad, kept, told) in table {
            let expected: Vec<_> = ["1"].into_iter().chain(kept).map(str::to_owned).collect();
            let unreadable = usize::from(kept.is_none());
            assert_eq!(read_entries(&format!("{good},{bad}")), (expected, unreadable, Some(told.into())), "{bad}");
        }
        assert_eq!(read_entries(good), (vec!["1".to_owned()], 0, None));
        let (kept, unreadable, told) = read_entries(&format!(r#"null,{good},{{"id":""}},{{"id":"3","name":[]}}"#));
        assert_eq!((kept.len(), unreadable), (2, 2));
        let expected = "entry 1 has no readable id; entry 3 has no readable id; name of shop 3";
        assert_eq!(told.as_deref(), Some(expected));
    }

    #[test]
    fn a_list_has_at_most_1000_entries() {
        let entries = |count: usize| {
            let entries: Vec<_> = (0..count).map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
            answer(&format!(r#"{{"shops":[{}]}}"#, entries.join(",")))
        };
        assert_eq!(read(&entries(MAX_SHOPS), &[]).expect("a list").list.shops.len(), 1000);
        for count in [MAX_SHOPS + 1, 58_000] {
            let fault = read(&entries(count), &[]).err().expect("too many");
            assert_eq!((fault.error.cause, fault.acted), (Cause::TooManyShops, Acted::No));
            assert!(fault.error.detail().contains(&format!("{count} entries")), "{}", fault.error);
        }
    }
}
