//! Names and values in a query string or an HTML form (`application/x-www-form-urlencoded`).

/// Decoded pairs, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns a name that occurs more than once, or `None` if there is no such name.
    pub(crate) fn repeated(&self) -> Option<&str> {
        self.0
            .iter()
            .enumerate()
            .find(|(i, (name, _))| self.0.iter().take(*i).any(|(earlier, _)| earlier == name))
            .map(|(_, (name, _))| name.as_str())
    }
}

pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Returns `address` with `query` added. The address may have a query already.
pub(crate) fn append(address: &str, query: &str) -> String {
    let separator = if address.contains('?') { '&' } else { '?' };
    format!("{address}{separator}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_name_is_found() {
        assert_eq!(Query::parse(b"a=1&b=2&a=3").repeated(), Some("a"));
        assert_eq!(Query::parse(b"a=1&b=2&A=3").repeated(), None);
    }

    #[test]
    fn a_query_is_added_to_an_existing_query() {
        assert_eq!(append("https://app.example/cb", "code=1"), "https://app.example/cb?code=1");
        assert_eq!(append("https://app.example/cb?t=2", "code=1"), "https://app.example/cb?t=2&code=1");
    }

    #[test]
    fn any_text_survives_encoding_and_decoding() {
        let text = "a b+c&d=e%2F?#Ũ🛍\u{0}";
        let encoded = encode([("state", text)]);
        assert_eq!(Query::parse(encoded.as_bytes()).first("state"), Some(text));
    }
}
