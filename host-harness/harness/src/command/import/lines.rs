//! Reads the file of an import line by line: JSON objects, or CSV with a header. Keeps one line in memory, and for each
//! earlier line two digests, which find duplicates.
//!
//! A line that can't be used is returned with its number and a reason. The reason never quotes the line, because the
//! line may contain a token.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::io::{self, BufRead, Read as _};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tiktok_shop_host::connection::{ShopPolicy, UnixSeconds};
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::{AccountId, AppKey, CustomerId, Secret};

use crate::failure::Failure;
use crate::input;

/// The maximum length of a line: 64 KiB. A token has at most 4 KiB.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// 9999-12-31T23:59:59Z. A larger number is probably a time in milliseconds.
const MAX_SECONDS: u64 = 253_402_300_799;

const COLUMNS: [&str; 8] =
    ["customer", "refresh_token", "account", "app", "access_token", "access_token_ends", "refresh_token_ends", "shops"];
const KNOWN: &str = "customer, refresh_token, account, app, access_token, access_token_ends, refresh_token_ends, shops";

/// The first 16 bytes of a SHA-256.
pub(super) type Digest = [u8; 16];

/// A line of the file that is not blank.
pub(super) struct Line {
    /// The number of the line in the file. The first line has the number 1.
    pub(super) number: u64,
    /// The grant, or the reason why the line can't be used.
    pub(super) wanted: Result<Wanted, Malformed>,
}

/// A line that can't be used.
pub(super) struct Malformed {
    /// The customer of the line, if it could be read.
    pub(super) customer: Option<CustomerId>,
    pub(super) why: String,
}

/// The customer, the grant and the choices that a line contains.
pub(super) struct Wanted {
    pub(super) customer: CustomerId,
    pub(super) app: Option<AppKey>,
    pub(super) grant: ExistingGrant,
    pub(super) shops: Option<ShopPolicy>,
}

/// The values of a line that are not empty, by the names of their columns.
type Fields = BTreeMap<&'static str, String>;

enum Form {
    Json,
    Csv { columns: Vec<&'static str>, delimiter: u8 },
}

/// The bytes of a line.
enum Bytes {
    Whole(Vec<u8>),
    TooLong,
}

/// The lines of a file. An error ends the file: it can't be read, it is empty, or it has no usable header.
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    form: Option<Form>,
    /// The numbers of the lines with these tokens and accounts.
    seen: HashMap<Digest, u64>,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, number: 0, form: None, seen: HashMap::new(), ended: false }
    }

    /// Returns the next line that is neither blank nor the header. `None` at the end of the file.
    fn read(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            let bytes = next_line(&mut self.source);
            let bytes = bytes.map_err(|error| Failure::Unavailable(format!("cannot read the file: {error}")))?;
            let Some(bytes) = bytes else {
                return match self.form {
                    Some(_) => Ok(None),
                    None => Err(malformed("the file is empty")),
                };
            };
            self.number += 1;
            let text = match bytes {
                Bytes::Whole(bytes) => self.text(bytes)?,
                Bytes::TooLong => Err(format!("the line is longer than {} KiB", MAX_LINE_BYTES / 1024)),
            };
            if text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
                continue;
            }
            let number = self.number;
            if let Some(form) = &self.form {
                let wanted = form.wanted(text);
                return Ok(Some(self.line(wanted)));
            }
            let first = text.map_err(|why| malformed(&format!("line {number}: {why}")))?;
            let form = self.form.insert(Form::of(&first).map_err(|why| malformed(&format!("line {number}: {why}")))?);
            if matches!(form, Form::Json) {
                let wanted = form.wanted(Ok(first));
                return Ok(Some(self.line(wanted)));
            }
        }
    }

    /// Returns the text of a line without its line break.
    fn text(&self, mut bytes: Vec<u8>) -> Result<Result<String, String>, Failure> {
        if self.number == 1 {
            if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
                return Err(malformed("the file is not UTF-8; save it as UTF-8"));
            }
            if bytes.starts_with("\u{feff}".as_bytes()) {
                bytes.drain(..3);
            }
        }
        let text = String::from_utf8(bytes).map_err(|_| "the line is not UTF-8; save the file as UTF-8".to_owned());
        Ok(text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn line(&mut self, wanted: Result<Wanted, Malformed>) -> Line {
        Line { number: self.number, wanted: wanted.and_then(|wanted| self.first_of_its_kind(wanted)) }
    }

    /// Refuses a line whose token or account an earlier line has. Only one of the two connections could use the tokens.
    fn first_of_its_kind(&mut self, wanted: Wanted) -> Result<Wanted, Malformed> {
        let number = self.number;
        let account = wanted.grant.account.as_ref().map(|account| ("account", account.as_str()));
        let marks = [("refresh token", wanted.grant.refresh_token.expose())].into_iter().chain(account);
        let marks: Vec<_> = marks.map(|(kind, text)| (kind, digest(&[kind, text]))).collect();
        for (kind, mark) in &marks {
            if let Some(earlier) = self.seen.get(mark) {
                let why = format!("line {earlier} has the same {kind}");
                return Err(Malformed { customer: Some(wanted.customer.clone()), why });
            }
        }
        for (_, mark) in marks {
            if let Entry::Vacant(place) = self.seen.entry(mark) {
                place.insert(number);
            }
        }
        Ok(wanted)
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Form {
    /// Finds the form of a file by its first line.
    fn of(first: &str) -> Result<Self, String> {
        if first.trim_start().starts_with('{') {
            return Ok(Self::Json);
        }
        // The names of the columns contain none of these characters.
        let delimiters = [b',', b';', b'\t'];
        let delimiter = delimiters.into_iter().find(|delimiter| first.contains(char::from(*delimiter)));
        let delimiter = delimiter.unwrap_or(b',');
        let mut columns = Vec::new();
        for (at, name) in (1_u64..).zip(cells(first, delimiter)?) {
            let Some(column) = column(&name) else {
                return Err(format!("column {at} of the header has an unknown name; use only these: {KNOWN}"));
            };
            if columns.contains(&column) {
                return Err(format!("the header has the column {column} twice"));
            }
            columns.push(column);
        }
        match ["customer", "refresh_token"].into_iter().find(|required| !columns.contains(required)) {
            Some(missing) => Err(format!("the header has no column {missing}")),
            None => Ok(Self::Csv { columns, delimiter }),
        }
    }

    /// Reads a line. `text` is the text of the line, or the reason why it has none.
    fn wanted(&self, text: Result<String, String>) -> Result<Wanted, Malformed> {
        let text = text.map_err(|why| Malformed { customer: None, why })?;
        self.fields(&text).and_then(wanted).map_err(|why| Malformed { customer: self.customer(&text), why })
    }

    /// Returns the customer of a line that can't be used. `None` if it is not certain which value is the customer.
    fn customer(&self, line: &str) -> Option<CustomerId> {
        let text = match self {
            Self::Json => {
                let objects = input::objects(line).ok()?;
                objects.first()?.remark("customer")?
            }
            Self::Csv { columns, delimiter } => {
                let cells = cells(line, *delimiter).ok().filter(|cells| cells.len() == columns.len())?;
                columns.iter().zip(cells).find(|(column, _)| **column == "customer")?.1
            }
        };
        text.parse().ok()
    }

    /// Reads the values of a line.
    fn fields(&self, line: &str) -> Result<Fields, String> {
        match self {
            Self::Json => members(line),
            Self::Csv { columns, delimiter } => {
                let cells = cells(line, *delimiter)?;
                if cells.len() != columns.len() {
                    return Err(format!("the line has {} values, and the header has {}", cells.len(), columns.len()));
                }
                let filled = columns.iter().copied().zip(cells).filter(|(_, cell)| !cell.is_empty());
                Ok(filled.collect())
            }
        }
    }
}

/// Reads the bytes of the next line, with its line break. Skips the rest of a line that is too long. Returns `None` at
/// the end of the source.
fn next_line(source: &mut impl BufRead) -> io::Result<Option<Bytes>> {
    let mut bytes = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    if source.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.ends_with(b"\n") || bytes.len() <= MAX_LINE_BYTES {
        return Ok(Some(Bytes::Whole(bytes)));
    }
    loop {
        let buffer = source.fill_buf()?;
        let (length, end) = (buffer.len(), buffer.iter().position(|byte| *byte == b'\n'));
        source.consume(end.map_or(length, |end| end + 1));
        if length == 0 || end.is_some() {
            return Ok(Some(Bytes::TooLong));
        }
    }
}

/// Returns the column that a name means. A hyphen counts as an underscore, and capital letters count as small ones.
fn column(name: &str) -> Option<&'static str> {
    let name = name.trim().to_ascii_lowercase().replace('-', "_");
    COLUMNS.into_iter().find(|column| *column == name)
}

/// Reads one line of CSV. A quoted value ends on the same line, so a missing quotation mark spoils only one line.
fn cells(line: &str, delimiter: u8) -> Result<Vec<String>, String> {
    if line.bytes().filter(|byte| *byte == b'"').count() % 2 == 1 {
        return Err("a quotation mark is missing".to_owned());
    }
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record.iter().map(str::to_owned).collect()),
        Err(_) => Err("the line is not CSV".to_owned()),
    }
}

/// Reads one JSON object.
fn members(line: &str) -> Result<Fields, String> {
    if !line.trim_start().starts_with('{') {
        return Err("the line is not a JSON object".to_owned());
    }
    let objects = input::objects(line).map_err(|error| error.in_line())?;
    let mut fields = Fields::new();
    for object in &objects {
        for name in object.names() {
            let Some(column) = column(name) else { return Err(unknown_member()) };
            let Some(value) = object.optional(name) else { continue };
            let text =
                value.text().or_else(|error| value.whole_number().map(|number| number.to_string()).or(Err(error)));
            let text = text.map_err(|error| error.in_line())?;
            if fields.insert(column, text).is_some() {
                return Err(format!("the member {column} is there twice"));
            }
        }
    }
    fields.retain(|_, text| !text.is_empty());
    Ok(fields)
}

/// The reason if a member has an unknown name. The name may be a token in the wrong place, so it is not quoted.
fn unknown_member() -> String {
    format!("a member has an unknown name; remove or rename it, and use only these: {KNOWN}")
}

fn wanted(mut fields: Fields) -> Result<Wanted, String> {
    let mut required = |name: &'static str| fields.remove(name).ok_or_else(|| format!("{name} is missing"));
    let (customer, refresh_token) = (required("customer")?, required("refresh_token")?);
    let customer = customer.parse::<CustomerId>().map_err(|error| error.to_string())?;
    let account = fields.remove("account").map(|text| text.parse::<AccountId>()).transpose();
    let app = fields.remove("app").map(|text| text.parse::<AppKey>()).transpose();
    let grant = ExistingGrant {
        account: account.map_err(|error| error.to_string())?,
        refresh_token: refresh_token.into(),
        access_token: fields.remove("access_token").map(Secret::from),
        access_token_ends: end(&mut fields, "access_token_ends")?,
        refresh_token_ends: end(&mut fields, "refresh_token_ends")?,
    };
    grant.check().map_err(|error| error.to_string())?;
    let shops = match fields.remove("shops").as_deref() {
        None => None,
        Some("all") => Some(ShopPolicy::All),
        Some("exactly-one") => Some(ShopPolicy::ExactlyOne),
        Some(_) => return Err("shops is neither all nor exactly-one".to_owned()),
    };
    Ok(Wanted { customer, app: app.map_err(|error| error.to_string())?, grant, shops })
}

/// Reads a time: Unix seconds, or a time in the notation of RFC 3339.
fn end(fields: &mut Fields, name: &'static str) -> Result<Option<UnixSeconds>, String> {
    let Some(text) = fields.remove(name) else { return Ok(None) };
    let seconds = text.parse::<u64>().ok().or_else(|| {
        let time = text.parse::<Timestamp>().ok()?;
        u64::try_from(time.as_second()).ok()
    });
    match seconds.filter(|seconds| *seconds <= MAX_SECONDS) {
        Some(seconds) => Ok(Some(UnixSeconds(seconds))),
        None => Err(format!("{name} is neither a number of Unix seconds nor a time such as 2026-01-31T12:00:00Z")),
    }
}

/// Returns a digest of some texts. Texts that are split in another way have another digest.
pub(super) fn digest(texts: &[&str]) -> Digest {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let hash: [u8; 32] = hash.finalize().into();
    hash.first_chunk::<16>().copied().unwrap_or_default()
}

fn malformed(what: &str) -> Failure {
    Failure::Malformed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Describes the lines of a file, or the error that ends it. The description contains the tokens.
    fn read(file: impl AsRef<[u8]>) -> Vec<String> {
        let describe = |line: Result<Line, Failure>| match line {
            Ok(Line { number, wanted: Ok(wanted) }) => {
                let Wanted { customer, app, grant, shops } = wanted;
                let account = grant.account.map(|account| format!(" account {account}")).unwrap_or_default();
                let app = app.map(|app| format!(" app {app}")).unwrap_or_default();
                let access = grant.access_token.map(|token| format!(" access {}", token.expose())).unwrap_or_default();
                let ends: String = [grant.access_token_ends, grant.refresh_token_ends]
                    .into_iter()
                    .flatten()
                    .map(|end| format!(" ends {}", end.0))
                    .collect();
                let shops = shops.map(|shops| format!(" {}", shops.as_str())).unwrap_or_default();
                format!("{number}: {customer} {}{account}{app}{access}{ends}{shops}", grant.refresh_token.expose())
            }
            Ok(Line { number, wanted: Err(Malformed { why, .. }) }) => format!("{number}! {why}"),
            Err(Failure::Malformed(why)) => format!("end: {why}"),
            Err(_) => "another failure".to_owned(),
        };
        Lines::new(file.as_ref()).map(describe).collect()
    }

    #[test]
    fn csv_and_json_lines_are_read() {
        let all = "2: c R account a app k access A ends 1767225600 ends 4903858076 exactly-one";
        for file in [
            "customer,refresh_token,account,app,access_token,access_token_ends,refresh_token_ends,shops\n\
             c,R,a,k,A,1767225600,4903858076,exactly-one\n",
            "Customer;Refresh-Token;account;app;access-token;access-token-ends;refresh-token-ends;shops\r\n\
             c;R;a;k;A;2026-01-01T00:00:00Z;4903858076;exactly-one",
            "\u{feff}shops\tcustomer\trefresh_token\taccount\tapp\taccess_token\taccess_token_ends\trefresh_token_ends\n\
             \"exactly-one\"\t\"c\"\tR\ta\tk\tA\t1767225600\t4903858076\n",
            "\n{\"customer\":\"c\",\"refresh_token\":\"R\",\"account\":\"a\",\"app\":\"k\",\"access-token\":\"A\",\
             \"access_token_ends\":1767225600,\"refresh_token_ends\":\"4903858076\",\"shops\":\"exactly-one\"}\n",
        ] {
            assert_eq!(read(file), [all], "{file}");
        }
    }

    #[test]
    fn missing_values_are_none() {
        assert_eq!(read("customer,refresh_token,account\nc,R,\n\n"), ["2: c R"]);
        let json = "{\"customer\":\"c\",\"refresh_token\":\"R\",\"account\":null,\"app\":\"\"}";
        assert_eq!(read(json), ["1: c R"]);
    }

    #[test]
    fn a_file_without_a_usable_header_is_refused() {
        let none = format!("end: line 1: column 1 of the header has an unknown name; use only these: {KNOWN}");
        let table: [(&[u8], &str); 9] = [
            (b"", "end: the file is empty"),
            (b"\n \r\n", "end: the file is empty"),
            (b"CANARY,CANARY\n", &none),
            (b"[]\n", &none),
            (b"customer,account\nc,a\n", "end: line 1: the header has no column refresh_token"),
            (b"customer,customer\n", "end: line 1: the header has the column customer twice"),
            (b"\"customer,refresh_token\n", "end: line 1: a quotation mark is missing"),
            (b"\xff\xfec\0u\0", "end: the file is not UTF-8; save it as UTF-8"),
            (b"\xe4,b\n", "end: line 1: the line is not UTF-8; save the file as UTF-8"),
        ];
        for (file, expected) in table {
            assert_eq!(read(file), [expected], "{}", String::from_utf8_lossy(file));
        }
    }

    #[test]
    fn a_malformed_line_is_named_and_the_rest_goes_on() {
        let table: [(&[u8], &str); 9] = [
            (b"c,R", "the line has 2 values, and the header has 4"),
            (b"c,R,,,,", "the line has 6 values, and the header has 4"),
            (b",R,,", "customer is missing"),
            (b"c,,,", "refresh_token is missing"),
            (b"c,R CANARY,,", "the refresh token is not 1 to 4096 visible ASCII characters"),
            (b"c,R,,1767225600000", "ends"),
            (b"c,R,,soon", "ends"),
            (b"c,\"R,,", "a quotation mark is missing"),
            (b"c,R\xff,,", "the line is not UTF-8; save the file as UTF-8"),
        ];
        for (line, why) in table {
            let why = if why == "ends" {
                "access_token_ends is neither a number of Unix seconds nor a time such as 2026-01-31T12:00:00Z"
            } else {
                why
            };
            let file = [b"customer,refresh_token,account,access_token_ends\n", line, b"\nd,S,,\n"].concat();
            assert_eq!(read(&file), [format!("2! {why}"), "3: d S".to_owned()], "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_malformed_json_line_is_named_and_not_quoted() {
        for line in ["{\"CANARY\"", "{}", "[]", "CANARY", "{\"customer\":[\"CANARY\"]}", "{\"CANARY\":1}"] {
            let file = format!("{{\"customer\":\"c\",\"refresh_token\":\"R\"}}\n{line}\n");
            let lines = read(file);
            assert_eq!((lines.len(), lines[0].as_str()), (2, "1: c R"));
            assert!(lines[1].starts_with("2! ") && !lines[1].contains("CANARY"), "{}", lines[1]);
        }
    }

    /// The outcome names the line, and the file is not standard input. So the reason names only the column.
    #[test]
    fn the_reason_of_a_malformed_json_line_names_the_column_or_the_member() {
        let table = [
            ("{\"customer\"", "not JSON: EOF while parsing an object at column 11"),
            ("{nope}", "not JSON: key must be a string at column 2"),
            ("{\"customer\":[1]}", ".customer: not text"),
            ("{\"customer\":\"c\",\"customer\":\"d\"}", "a duplicate member"),
            ("{\"token\":\"t\"}", &unknown_member()),
        ];
        for (line, why) in table {
            let file = format!("{{\"customer\":\"c\",\"refresh_token\":\"R\"}}\n{line}\n");
            assert_eq!(read(file), ["1: c R".to_owned(), format!("2! {why}")], "{line}");
        }
    }

    #[test]
    fn the_customer_of_a_malformed_line_is_named_if_it_is_certain() {
        let customers = |file: &str| -> Vec<Option<String>> {
            let customer = |line: Result<Line, Failure>| match line.ok().unwrap().wanted {
                Ok(wanted) => Some(wanted.customer.as_str().to_owned()),
                Err(Malformed { customer, .. }) => customer.map(|customer| customer.as_str().to_owned()),
            };
            Lines::new(file.as_bytes()).map(customer).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        let csv = "customer,refresh_token\na,\nb,R R\nc,R\nd,R\n,R\nx,y,z\n\"q,R\n";
        assert_eq!(customers(csv), [some("a"), some("b"), some("c"), some("d"), None, None, None]);
        let json = "{\"customer\":\"a\"}\n{\"customer\":\"b\",\"no_such\":1}\n{\"customer\":7}\n[]\n{\n";
        assert_eq!(customers(json), [some("a"), some("b"), None, None, None]);
    }

    /// The reader keeps one line, and two digests for each line. So a file of 10⁶ lines needs less than 110 MB: a map of
    /// 2 × 10⁶ digests and line numbers, with 25 bytes for each of its 2²² places.
    #[test]
    fn a_file_of_any_length_is_read_line_by_line() {
        const LINES: u64 = 50_000;

        struct Generated(u64);

        impl io::Read for Generated {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let text = match self.0 {
                    0 => "customer,refresh_token,account\n".to_owned(),
                    number @ 1..=LINES => format!("c{number},R{number},a{number}\n"),
                    _ => return Ok(0),
                };
                self.0 += 1;
                buffer[..text.len()].copy_from_slice(text.as_bytes());
                Ok(text.len())
            }
        }

        let mut lines = Lines::new(io::BufReader::new(Generated(0)));
        let usable = lines.by_ref().filter(|line| line.as_ref().is_ok_and(|line| line.wanted.is_ok())).count();
        assert_eq!((usable as u64, lines.seen.len() as u64), (LINES, 2 * LINES));
        assert_eq!(size_of::<(Digest, u64)>(), 24);
    }

    #[test]
    fn a_long_line_is_skipped() {
        let long = "x".repeat(1 << 20);
        let file = format!("customer,refresh_token\nc,{long}\nd,S\n");
        assert_eq!(read(file), ["2! the line is longer than 64 KiB", "3: d S"]);
        let end = format!("customer,refresh_token\nc,{long}");
        assert_eq!(read(end), ["2! the line is longer than 64 KiB"]);
    }

    #[test]
    fn a_duplicate_names_the_earlier_line() {
        let file = "customer,refresh_token,account\na,R1,x\nb,R1,y\nc,R2,x\nd,R3,\na,R4,\nb,R2,y\n";
        let expected = ["2: a R1 account x", "3! line 2 has the same refresh token", "4! line 2 has the same account"];
        let rest = ["5: d R3", "6: a R4", "7: b R2 account y"];
        assert_eq!(read(file), [&expected[..], &rest[..]].concat());
    }
}
