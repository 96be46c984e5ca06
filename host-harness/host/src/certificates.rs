//! Reads certificate authorities in PEM, for servers that an operator chooses: a key service, a forward proxy, a
//! collector of traces, or a receiver of webhooks. For the certificates of TikTok Shop, the host trusts Mozilla's
//! authorities only.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tiktok_shop_private_file as private_file;

/// The maximum size of a file of certificate authorities: 1 MiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The reason why a text or a file of certificate authorities can't be used. The error texts quote no part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAuthorities {
    /// There is no certificate in PEM.
    #[error("it contains no certificate in PEM")]
    Empty,
    /// The file can't be read, or it is longer than 1 MiB. The text says why, without the path.
    #[error("{0}")]
    File(String),
    /// A certificate, or another section between `BEGIN` and `END`, is malformed.
    #[error("a certificate in it, or another section between BEGIN and END, is malformed")]
    Malformed,
    /// Not every certificate was read.
    #[error(
        "a certificate in it can't be read: each must begin with the line -----BEGIN CERTIFICATE-----, not indented"
    )]
    Unread,
}

/// Some certificate authorities, at least one.
///
/// ```no_run
/// use tiktok_shop_host::certificates::CertificateAuthorities;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let authorities = CertificateAuthorities::from_pem(&std::fs::read("ca.pem")?)?;
/// # drop(authorities);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CertificateAuthorities(RootCertStore);

impl CertificateAuthorities {
    /// Parses the certificates of a PEM text. Ignores comments and well-formed sections of other kinds, such as keys.
    ///
    /// # Errors
    /// [`InvalidAuthorities::Empty`], [`InvalidAuthorities::Malformed`] or [`InvalidAuthorities::Unread`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidAuthorities> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| InvalidAuthorities::Malformed)?;
            roots.add(certificate).map_err(|_| InvalidAuthorities::Malformed)?;
        }
        if roots.len() < begun(pem) {
            return Err(InvalidAuthorities::Unread);
        }
        if roots.is_empty() {
            return Err(InvalidAuthorities::Empty);
        }
        Ok(Self(roots))
    }

    /// Reads a PEM file of at most 1 MiB.
    ///
    /// # Errors
    /// See [`InvalidAuthorities`]. The error does not name the path.
    pub fn read(path: &Path) -> Result<Self, InvalidAuthorities> {
        let pem = private_file::read_regular(path, MAX_FILE_BYTES).map_err(|error| {
            // The text of this error begins with the path, which the caller also names.
            let text = error.to_string();
            let why = text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text);
            InvalidAuthorities::File(why.to_owned())
        })?;
        Self::from_pem(&pem)
    }

    /// Returns roots of trust that contain only these authorities.
    #[must_use]
    pub const fn roots(&self) -> &RootCertStore {
        &self.0
    }
}

/// Returns the number of certificates that begin in a PEM text. It also counts those that the parser skips: after
/// spaces, after a byte order mark, or with another name.
fn begun(pem: &[u8]) -> usize {
    let begins = |line: &&[u8]| {
        let text = String::from_utf8_lossy(line);
        text.split_once("-----BEGIN ").is_some_and(|(_, name)| name.trim_end().ends_with("CERTIFICATE-----"))
    };
    pem.split(|byte| *byte == b'\n').filter(begins).count()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn pem(label: &str, content: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(content))
    }

    #[test]
    fn only_certificates_are_read_and_an_error_quotes_nothing() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let (key, pem) = (pem("PRIVATE KEY", &key.serialize_der()), pem("CERTIFICATE", certificate.der()));
        let several = format!("# A comment\n{pem}{key}{pem}");
        assert_eq!(CertificateAuthorities::from_pem(several.as_bytes()).unwrap().roots().len(), 2);
        let cut = pem.replace("-----END CERTIFICATE-----", "");
        let (indented, after_mark) =
            (format!("{pem}{}", pem.replace("-----BEGIN", " -----BEGIN")), format!("\u{feff}{pem}{pem}"));
        let trusted = format!("{pem}{}", pem.replace(" CERTIFICATE", " TRUSTED CERTIFICATE"));
        let (begin, damaged) = (format!("{pem}-----BEGIN CANARY\n"), pem.replace("MI", "CANARY"));
        for (text, error) in [
            ("", InvalidAuthorities::Empty),
            ("CANARY", InvalidAuthorities::Empty),
            (key.as_str(), InvalidAuthorities::Empty),
            (cut.as_str(), InvalidAuthorities::Malformed),
            (begin.as_str(), InvalidAuthorities::Malformed),
            (damaged.as_str(), InvalidAuthorities::Malformed),
            (indented.as_str(), InvalidAuthorities::Unread),
            (after_mark.as_str(), InvalidAuthorities::Unread),
            (trusted.as_str(), InvalidAuthorities::Unread),
        ] {
            let refused = CertificateAuthorities::from_pem(text.as_bytes()).unwrap_err();
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains("CANARY"), "{refused}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_without_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long.pem");
        fs::write(&long, " ".repeat((1 << 20) + 1)).unwrap();
        for (path, why) in [
            (folder.path().join("missing.pem"), "there is no such file"),
            (folder.path().to_owned(), "not a regular file"),
            (long, "longer than 1048576 bytes"),
        ] {
            let error = CertificateAuthorities::read(&path).unwrap_err();
            assert_eq!(error, InvalidAuthorities::File(why.to_owned()), "{}", path.display());
        }
    }
}
