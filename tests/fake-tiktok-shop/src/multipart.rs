//! A strict parser of `multipart/form-data` bodies (RFC 7578, RFC 2046 section 5.1). A body with a mistake in its
//! framing is refused.

/// A part of a multipart body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub name: String,
    pub content: &'a [u8],
}

/// Returns the boundary in a `content-type` header. Returns `None` if the type is not `multipart/form-data` or the
/// boundary is missing or not legal.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';').map(str::trim);
    if !parameters.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.find_map(|parameter| value(parameter, "boundary"))?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    ((1..=70).contains(&boundary.len()) && boundary.bytes().all(legal)).then_some(boundary)
}

/// Returns the parts of a body. Returns `None` if the body does not begin and end with the boundary, or a part has no
/// name.
pub(crate) fn parse<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Field<'a>>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(delimiter.trim_start().as_bytes())?;
    let mut fields = Vec::new();
    loop {
        if rest == b"--" || rest == b"--\r\n" {
            return Some(fields);
        }
        let (part, next) = split_once(rest.strip_prefix(b"\r\n")?, delimiter.as_bytes())?;
        let (head, content) = split_once(part, b"\r\n\r\n")?;
        fields.push(Field { name: name(std::str::from_utf8(head).ok()?)?, content });
        rest = next;
    }
}

/// Returns the parameter `name` of the header `content-disposition: form-data` in a part's head.
fn name(head: &str) -> Option<String> {
    let dispositions = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, disposition) =
        dispositions.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-disposition"))?;
    let mut parameters = disposition.split(';').map(str::trim);
    parameters.next().filter(|kind| kind.eq_ignore_ascii_case("form-data"))?;
    parameters.find_map(|parameter| value(parameter, "name"))
}

/// Returns the value of a parameter `name=value` or `name="value"`.
fn value(parameter: &str, name: &str) -> Option<String> {
    let (n, value) = parameter.split_once('=')?;
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    n.eq_ignore_ascii_case(name).then(|| quoted.unwrap_or(value).to_owned())
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    let (before, after) = bytes.split_at_checked(at)?;
    Some((before, after.strip_prefix(separator)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_may_be_quoted() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=bnd", Some("bnd")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a\"b", None),
            ("multipart/mixed; boundary=bnd", None),
            ("application/json", None),
        ] {
            assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }

    #[test]
    fn a_part_has_every_byte_between_its_head_and_the_next_delimiter() {
        let body = b"--bnd\r\nContent-Disposition: form-data; name=\"use_case\"\r\n\r\nMAIN_IMAGE\r\n\
            --bnd\r\ncontent-type: image/png\r\ncontent-disposition: form-data; name=data; filename=\"a.png\"\r\n\r\n\
            \x89PNG\r\n--bn\r\n\r\n\x00\xff\r\n\r\n--bnd--\r\n";
        let fields = parse(body, "bnd").unwrap();
        let expected = [("use_case", &b"MAIN_IMAGE"[..]), ("data", b"\x89PNG\r\n--bn\r\n\r\n\x00\xff\r\n")];
        assert_eq!(fields, expected.map(|(name, content)| Field { name: name.to_owned(), content }));
    }

    #[test]
    fn a_wrongly_framed_body_is_refused() {
        let part = "\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1";
        assert!(parse(format!("--b{part}\r\n--b--").as_bytes(), "b").is_some());
        for body in [
            String::new(),
            format!("--b{part}"),
            format!("--b{part}\r\n--b"),
            format!("--b{part}\n--b--"),
            format!("--b{part}\r\n--c--"),
            format!("x--b{part}\r\n--b--"),
            format!("--b{part}\r\n--b--x"),
            "--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n1\r\n--b--".to_owned(),
            "--b\r\n\r\n1\r\n--b--".to_owned(),
        ] {
            assert_eq!(parse(body.as_bytes(), "b"), None, "{body:?}");
        }
    }
}
