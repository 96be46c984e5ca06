"""The options of a host."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Literal, TypeAlias, TypedDict

from .keys import KeyProvider
from .types import SecretInput

#: The path of a file.
File: TypeAlias = str | PathLike[str]


class _AppMembers(TypedDict):
    #: The "App Key" of Partner Center.
    app_key: str
    #: The "App Secret" of Partner Center.
    app_secret: SecretInput


class App(_AppMembers, total=False):
    """The credentials of an app."""

    #: The secret before the latest rotation. Webhooks that are signed with it are accepted, too.
    previous_app_secret: SecretInput | None
    #: The link that Partner Center shows under "Copy authorization link".
    authorization_link: str | None


class TenantApp(App):
    """An app of a tenant."""

    tenant: str


class KeyText(TypedDict):
    """The text of a key file, for example from a secret manager."""

    text: SecretInput


class KeyFile(TypedDict):
    """A key file, which must exist. `tiktok-shop-harness keys init` makes one."""

    file: File


class KeyFileOrNew(TypedDict):
    """A key file, which is made if it does not exist. Only for tests and for a first try."""

    file_or_new: File


class _KeyServiceMembers(TypedDict):
    #: The address of OpenBao or Vault. It must be https. On loopback, http is allowed, too.
    address: str


class _KeyServiceSettings(_KeyServiceMembers, total=False):
    #: The path of the transit engine. Default: `transit`.
    mount: str
    #: The first part of the names of the keys. Default: `tiktok-shop`. With a fake, `-fake` is appended.
    prefix: str
    namespace: str
    #: A PEM file with the authorities that may sign the certificate of the service. Default: Mozilla's authorities.
    ca_file: File


class TokenAuth(_KeyServiceSettings):
    """A key service to which the host authenticates with a token."""

    auth: Literal["token"]
    token: SecretInput


class TokenFileAuth(_KeyServiceSettings):
    """A key service to which the host authenticates with the token in a file."""

    auth: Literal["token-file"]
    token_file: File


class _AppRoleMembers(_KeyServiceSettings):
    auth: Literal["approle"]
    role_id: str
    secret_id: SecretInput


class AppRoleAuth(_AppRoleMembers, total=False):
    """A key service to which the host authenticates with an AppRole."""

    #: Default: `approle`.
    auth_mount: str


class _KubernetesMembers(_KeyServiceSettings):
    auth: Literal["kubernetes"]
    role: str


class KubernetesAuth(_KubernetesMembers, total=False):
    """A key service to which the host authenticates with the token of the pod's service account."""

    #: Default: the file in which Kubernetes puts the token.
    jwt_file: File
    #: Default: `kubernetes`.
    auth_mount: str


#: The settings of OpenBao or Vault. docs/keys.md explains them.
KeyService: TypeAlias = TokenAuth | TokenFileAuth | AppRoleAuth | KubernetesAuth


class KeyServiceOption(TypedDict):
    """OpenBao or Vault."""

    key_service: KeyService


#: Where the host keys come from. `drawn` is a new key, which is lost when the process ends. It is only for a storage in
#: memory.
HostKeys: TypeAlias = KeyText | KeyFile | KeyFileOrNew | KeyServiceOption | KeyProvider | Literal["drawn"]

#: The host keys that were used before a key service or a key provider of your own. They only open earlier data.
EarlierKeys: TypeAlias = KeyText | KeyFile | KeyServiceOption


class Limits(TypedDict, total=False):
    """Limits of a host. Each must be greater than 0."""

    #: The maximum number of calls that run at the same time, without webhooks. Further calls wait. Default: 100.
    concurrent_calls: int
    #: The maximum number of webhooks that are received at the same time. Further webhooks wait. Default: 40.
    concurrent_webhooks: int
    #: The share of these calls and webhooks that one tenant may use at the same time, in per cent. Use 100 if there is
    #: only one tenant. Default: 25.
    tenant_percent: int
    #: The maximum size of the body of a webhook in bytes. A larger value than 1048576 counts as 1048576.
    #: Default: 262144.
    webhook_body_bytes: int
    #: The maximum size of the body of an answer of TikTok Shop in bytes. Default: 8388608.
    response_bytes: int


class Deadlines(TypedDict, total=False):
    """Deadlines in milliseconds. Each must be greater than 0."""

    #: The total time that a call may wait for its turn. Default: 10000.
    queue_ms: int
    #: The time for the whole call, with all waiting. At least 3 times `request_ms` plus 3 times `save_ms`. Default:
    #: 120000.
    call_ms: int
    #: The time for one answer of the function `apps`, one read of the storage, or all attempts of one save. At most
    #: 10000. Default: 10000.
    save_ms: int
    #: The time to resolve the name of a server and to connect. With a proxy, it applies twice. Default: 5000.
    connect_ms: int
    #: The time for each TLS handshake. `connect_ms` + `tls_ms` must be at most `request_ms`. Default: 5000.
    tls_ms: int
    #: The time from sending a request to receiving the head of its response. At most `request_ms`. Default: 15000.
    first_byte_ms: int
    #: The time between two parts of a response. At most `request_ms`. Default: 10000.
    between_bytes_ms: int
    #: The time for a whole request. Less than 30000. Default: 25000.
    request_ms: int


def with_paths_as_text(option: object) -> object:
    """Returns an option with texts in place of paths such as `pathlib.Path`."""
    if isinstance(option, PathLike):
        return fspath(option)
    if isinstance(option, dict):
        return {name: with_paths_as_text(member) for name, member in option.items()}
    return option
