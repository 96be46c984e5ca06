//! Defines the errors for wrong settings of a key service, and for requests that the service did not carry out.

use std::path::PathBuf;

/// The reason why the settings of a key service can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The address is malformed or not safe. The text of the error never quotes the address.
    #[error("address: {0}")]
    Address(&'static str),
    /// The mount of the engine or of the authentication is malformed.
    #[error("mount: not a path of letters, digits, -, _, . and /")]
    Mount,
    /// The prefix is malformed.
    #[error("prefix: not 1 to 64 letters, digits, - and _ that begin with a letter or a digit")]
    Prefix,
    /// The namespace is malformed.
    #[error("namespace: not visible ASCII characters")]
    Namespace,
    /// The file of certificate authorities can't be read, or contains no certificate.
    #[error("ca-file {}: {why}", path.display())]
    CaFile {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// The cryptography that is compiled in offers no TLS version.
    #[error("TLS: {0}")]
    Tls(String),
}

/// The reason why the service did not do what the host asked. The texts complete a sentence that begins with "the key
/// service at ADDRESS".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("can't be reached: {0}; check the address, the network and the certificate")]
    Away(String),
    #[error("did not answer in time; check the network and the load of the service")]
    Late,
    #[error("is sealed; unseal it")]
    Sealed,
    #[error("is a standby that forwards no requests; use the address of the active node or of a load balancer")]
    Standby,
    #[error("refuses {what}; allow it in the policy of {method}")]
    Denied { what: String, method: &'static str },
    #[error("refuses {method}: {why}; check the credentials and the role")]
    LoginRefused { method: &'static str, why: String },
    #[error("needs credentials that can't be read: {0}; correct the file or its path in the settings")]
    Credentials(String),
    #[error("has no engine at {0}; enable it there or correct the mount")]
    NoMount(String),
    #[error("has no authentication at {0}; enable it there or correct auth-mount")]
    NoAuthMount(String),
    #[error("has no such key; restore it, or create it with the type aes256-gcm96")]
    NoKey,
    #[error("says that the wrapped key is damaged or was wrapped by another key; check the mount and the prefix")]
    WrongKey,
    #[error("no longer decrypts with this version; lower min_decryption_version, run keys rotate, then raise it again")]
    TooOld,
    #[error("has a key of type {0}, which binds no wrapped key to its tenant; use the type aes256-gcm96")]
    KeyType(String),
    #[error("has deleted the key softly; restore it or delete it for good")]
    SoftDeleted,
    #[error("is too busy (HTTP 429); raise its rate limit")]
    Busy,
    #[error("failed with HTTP {status}: {why}; the log of the service says more")]
    Failed { status: u16, why: String },
    #[error("gave an answer that is not one of OpenBao or Vault: {0}; check the address and the load balancer")]
    Malformed(&'static str),
    #[error("can't be asked: {0}")]
    Unsendable(&'static str),
}

impl ServiceError {
    /// Returns true if the same request may succeed soon, on the same node of the service or on another node behind the
    /// same address.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Away(_) | Self::Late | Self::Busy => true,
            Self::Failed { status, .. } => matches!(*status, 412 | 500 | 502..=504),
            Self::Sealed
            | Self::Standby
            | Self::Denied { .. }
            | Self::LoginRefused { .. }
            | Self::Credentials(_)
            | Self::NoMount(_)
            | Self::NoAuthMount(_)
            | Self::NoKey
            | Self::WrongKey
            | Self::TooOld
            | Self::KeyType(_)
            | Self::SoftDeleted
            | Self::Malformed(_)
            | Self::Unsendable(_) => false,
        }
    }
}
