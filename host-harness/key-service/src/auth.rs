//! The ways in which the host authenticates to the key service.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tiktok_shop_host::Secret;
use tiktok_shop_private_file as private_file;

use crate::error::ServiceError;

/// The maximum length of a token that is read from a file: 64 KiB.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

/// How the host authenticates to the key service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Auth {
    /// A token. The host renews its lease if the token is renewable. The host can't get another token after this token
    /// has ended, so use a periodic token.
    Token(Secret),
    /// A file that contains a token. An agent of the service replaces the file. The host reads the file again when the
    /// service no longer accepts the token.
    TokenFile(PathBuf),
    /// An AppRole: the host logs in with a role id and a secret id.
    AppRole {
        /// The path at which the authentication method is mounted, usually `approle`.
        mount: String,
        /// The role id.
        role_id: String,
        /// The secret id.
        secret_id: Secret,
    },
    /// Kubernetes: the host logs in with the token (a JWT) of its service account.
    Kubernetes {
        /// The path at which the authentication method is mounted, usually `kubernetes`.
        mount: String,
        /// The name of the role.
        role: String,
        /// The file of the JWT. Kubernetes replaces the token in it, so the host reads the file at each login.
        jwt_file: PathBuf,
    },
}

/// The file in which Kubernetes puts the token of a pod's service account.
pub(crate) const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Auth {
    /// Returns Kubernetes authentication for this role, with the usual mount and the usual file.
    #[must_use]
    pub fn kubernetes(role: impl Into<String>) -> Self {
        Self::Kubernetes {
            mount: "kubernetes".to_owned(),
            role: role.into(),
            jwt_file: PathBuf::from(SERVICE_ACCOUNT_TOKEN),
        }
    }

    /// Returns the credentials with which the host gets a token. Reads files again at each call.
    pub(crate) async fn credentials(&self) -> Result<Credentials, ServiceError> {
        Ok(match self {
            Self::Token(token) => Credentials::Token(token.clone()),
            Self::TokenFile(path) => Credentials::Token(read_token(path).await?),
            Self::AppRole { mount, role_id, secret_id } => Credentials::Login {
                path: format!("auth/{mount}/login"),
                body: json!({ "role_id": role_id, "secret_id": secret_id.expose() }),
            },
            Self::Kubernetes { mount, role, jwt_file } => {
                let jwt = read_token(jwt_file).await?;
                let body = json!({ "role": role, "jwt": jwt.expose() });
                Credentials::Login { path: format!("auth/{mount}/login"), body }
            }
        })
    }

    /// Returns whether a new token may be different from the token that was refused.
    pub(crate) const fn can_log_in_again(&self) -> bool {
        !matches!(self, Self::Token(_))
    }

    /// Returns the name of these credentials, for error texts.
    pub(crate) const fn method(&self) -> &'static str {
        match self {
            Self::Token(_) => "the token",
            Self::TokenFile(_) => "the token in the token file",
            Self::AppRole { .. } => "the AppRole",
            Self::Kubernetes { .. } => "the Kubernetes role",
        }
    }
}

/// The way in which the host gets a token.
pub(crate) enum Credentials {
    /// The host uses this token.
    Token(Secret),
    /// The host logs in: it sends this body to this path. The body contains a secret.
    Login { path: String, body: Value },
}

async fn read_token(path: &Path) -> Result<Secret, ServiceError> {
    let unreadable = |why: String| ServiceError::Credentials(format!("{}: {why}", path.display()));
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || private_file::read_regular(&owned, MAX_TOKEN_BYTES)).await;
    let read = read.map_err(|error| unreadable(error.to_string()))?;
    let bytes = zeroize::Zeroizing::new(read.map_err(|error| ServiceError::Credentials(error.to_string()))?);
    let token = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    let is_token = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    if !is_token {
        return Err(unreadable("not a token: a token is one line of visible ASCII characters".to_owned()));
    }
    Ok(Secret::from(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_holds_no_token_is_named_and_never_read_without_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let name = path.display();
        for (content, expected) in [
            (vec![b'a'; 65_537], format!("{name}: longer than 65536 bytes")),
            (
                b"CANARY CANARY".to_vec(),
                format!("{name}: not a token: a token is one line of visible ASCII characters"),
            ),
            (b"CANARY\xff".to_vec(), format!("{name}: not a token: a token is one line of visible ASCII characters")),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read_token(&path).await.unwrap_err(), ServiceError::Credentials(expected));
        }
        let endless = ServiceError::Credentials("/dev/zero: not a regular file".to_owned());
        assert_eq!(read_token(Path::new("/dev/zero")).await.unwrap_err(), endless);
        std::fs::write(&path, " hvs.token\n").unwrap();
        assert_eq!(read_token(&path).await.unwrap().expose(), "hvs.token");
    }
}
