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
    /// service no longer accepts the token. The file and the folders on the way to it must belong to the user of this
    /// process or to root. Other users must not be able to write to them. A folder that everybody can write to needs
    /// the sticky bit.
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
        /// The file of the JWT. Kubernetes replaces the token in it, so the host reads the file at each login. The same
        /// rules hold as for [`TokenFile`](Self::TokenFile). A file that Kubernetes mounts fulfils them.
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

/// Reads a token from its file. Whoever writes the file decides who may read it: Kubernetes mounts the token of a
/// service account so that every user of the pod can read it. But nobody else may be able to put another token there.
async fn read_token(path: &Path) -> Result<Secret, ServiceError> {
    let unreadable = |why: String| ServiceError::Credentials(format!("{}: {why}", path.display()));
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || private_file::read_unwritable(&owned, MAX_TOKEN_BYTES)).await;
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
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

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
        let missing = folder.path().join("missing");
        let expected = ServiceError::Credentials(format!("{}: there is no such file", missing.display()));
        assert_eq!(read_token(&missing).await.unwrap_err(), expected);
    }

    #[tokio::test]
    async fn a_token_is_read_only_from_a_file_that_nobody_else_can_change() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "hvs.token").unwrap();
        // Kubernetes mounts a link to a link, so that it can replace the file.
        let link = folder.path().join("link");
        symlink("token", &link).unwrap();
        for (mode, is_read) in
            [(0o600, true), (0o400, true), (0o640, true), (0o644, true), (0o666, false), (0o602, false)]
        {
            std::fs::set_permissions(&token, Permissions::from_mode(mode)).unwrap();
            for path in [&token, &link] {
                let why = "other users can write to it";
                let expected =
                    format!("{}: {why} (mode {mode:03o}); take this right away with chmod go-w", path.display());
                let expected =
                    if is_read { Ok("hvs.token".to_owned()) } else { Err(ServiceError::Credentials(expected)) };
                assert_eq!(read_token(path).await.map(|token| token.expose().to_owned()), expected, "{mode:o}");
            }
        }
        std::fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let ServiceError::Credentials(why) = read_token(&token).await.unwrap_err() else { panic!() };
        assert!(why.contains("because they can write to the folder"), "{why}");
    }
}
