"""The options of a host."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypedDict

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


#: Where the host keys come from. `drawn` is a new key, which is lost when the process ends. It is only for a storage in
#: memory.
HostKeys: TypeAlias = KeyText | KeyFile | KeyFileOrNew | Literal["drawn"]


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
