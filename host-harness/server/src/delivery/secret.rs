//! The secrets that sign outgoing webhooks, in the form of Standard Webhooks: `whsec_` and base64.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tiktok_shop_host::Secret;
use tiktok_shop_host::randomness::Randomness;
use zeroize::Zeroizing;

/// The beginning of every secret. Scanners for leaked secrets recognise a secret by it.
const PREFIX: &str = "whsec_";
/// The number of bytes of a secret that this program draws.
const DRAWN_BYTES: usize = 32;
/// The numbers of bytes that a secret may have, by the specification.
const ALLOWED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The text is not a secret of Standard Webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not whsec_ and the base64 of 24 to 64 bytes; webhook-secret prints one")]
pub struct InvalidSigningSecret;

/// A secret that the service and the receiver of its webhooks share.
#[derive(Clone)]
pub struct SigningSecret(Arc<Zeroizing<Vec<u8>>>);

impl SigningSecret {
    /// Draws a new secret with 256 random bits.
    ///
    /// # Errors
    /// The source of randomness failed.
    pub fn draw(randomness: &dyn Randomness) -> io::Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; DRAWN_BYTES]);
        randomness.fill(&mut bytes)?;
        Ok(Self(Arc::new(bytes)))
    }

    /// Returns the text of the secret.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        Secret::from(format!("{PREFIX}{}", STANDARD.encode(&**self.0)))
    }

    /// Returns the signature of a request, as the header `webhook-signature` contains it.
    pub(crate) fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        // HMAC accepts a key of any length, so this never fails. Without a key there is no signature, and the receiver
        // refuses the request.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl FromStr for SigningSecret {
    type Err = InvalidSigningSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSigningSecret> {
        let coded = text.strip_prefix(PREFIX).ok_or(InvalidSigningSecret)?;
        let bytes = Zeroizing::new(STANDARD.decode(coded).map_err(|_| InvalidSigningSecret)?);
        if ALLOWED_BYTES.contains(&bytes.len()) { Ok(Self(Arc::new(bytes))) } else { Err(InvalidSigningSecret) }
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.to_text() == other.to_text()
    }
}

impl Eq for SigningSecret {}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_request_is_signed_as_the_reference_libraries_sign_it() {
        let secret: SigningSecret = SECRET.parse().unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_read_as_it_is_written_and_debug_hides_it() {
        let secret: SigningSecret = SECRET.parse().unwrap();
        assert_eq!((secret.to_text().expose(), format!("{secret:?}")), (SECRET, "[redacted]".to_owned()));
        for wrong in [
            "",
            "whsec_",
            "whsec_not base64",
            &SECRET.replace("whsec_", ""),
            &format!("whsec_{}", STANDARD.encode([7; 23])),
            &format!("whsec_{}", STANDARD.encode([7; 65])),
        ] {
            assert_eq!(wrong.parse::<SigningSecret>(), Err(InvalidSigningSecret), "{wrong}");
        }
        for length in [24, 64] {
            assert!(format!("whsec_{}", STANDARD.encode(vec![7; length])).parse::<SigningSecret>().is_ok());
        }
    }
}
