//! Converts a certificate from DER to PEM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Returns the PEM text of a certificate in DER.
pub(crate) fn certificate(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
