"""The options of a host."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypedDict

from .keys import KeyProvider
from .types import SecretInput


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

    file: str


class KeyFileOrNew(TypedDict):
    """A key file, which is made if it does not exist. Only for tests and for a first try."""

    file_or_new: str


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
    ca_file: str


class TokenAuth(_KeyServiceSettings):
    """A key service to which the host authenticates with a token."""

    auth: Literal["token"]
    token: SecretInput


class TokenFileAuth(_KeyServiceSettings):
    """A key service to which the host authenticates with the token in a file."""

    auth: Literal["token-file"]
    token_file: str


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
    jwt_file: str
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
    concurrent_calls: int
    concurrent_webhooks: int
    tenant_percent: int
    webhook_body_bytes: int
    response_bytes: int


class Deadlines(TypedDict, total=False):
    """Deadlines in milliseconds."""

    queue_ms: int
    call_ms: int
    save_ms: int
    connect_ms: int
    tls_ms: int
    first_byte_ms: int
    between_bytes_ms: int
    request_ms: int
