"""The results of a host, and the words that its arguments and results have.

Ids and positions are `str`. Times are timezone-aware `datetime`, or `None` if they are not known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from ._native import Secret
from .errors import TikTokShopError

#: A secret that a call takes.
SecretInput: TypeAlias = Secret | str
ShopPolicy: TypeAlias = Literal["all", "exactly-one"]
Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]
ConnectionStatus: TypeAlias = Literal["active", "authorization-ending", "reauthorization-required"]


@dataclass(frozen=True, slots=True)
class ConnectionName:
    """A customer, and one of the customer's accounts."""

    customer: str
    account: str


@dataclass(frozen=True, slots=True)
class Shop:
    id: str
    account: str
    app: str | None
    name: str
    region: str
    seller_type: str
    code: str
    standing: Literal["granted", "inactive", "no-longer-granted", "unconfirmed"]
    linked: bool
    #: Whether the customer may use the shop now.
    usable: bool
    has_cipher: bool
    #: The shop as TikTok Shop sent it: JSON as text, without the cipher.
    raw: str


@dataclass(frozen=True, slots=True)
class PastFailure:
    """Why the latest refresh failed."""

    at: datetime
    code: str
    detail: str
    tiktok_http_status: int | None
    tiktok_request_id: str | None


@dataclass(frozen=True, slots=True)
class Connection:
    customer: str
    account: str
    app: str | None
    seller_name: str
    seller_base_region: str
    granted_scopes: list[str]
    shop_policy: ShopPolicy
    status: ConnectionStatus
    #: Why a new consent is needed.
    reason: Literal["authorization-expired", "authorization-revoked", "refresh-outcome-unknown"] | None
    #: When the authorization ends, if the status is `authorization-ending`.
    ends_at: datetime | None
    access_expires_at: datetime | None
    refresh_expires_at: datetime | None
    authorization_ends_at: datetime | None
    connected_at: datetime
    granted_at: datetime
    refreshed_at: datetime
    #: When the shops were last read. `None` if they were never read.
    shops_synced_at: datetime | None
    shops: list[Shop]
    last_failure: PastFailure | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A connection that the lists leave out because of its row."""

    account: str
    #: A refresh writes a missing row again. In the other cases, the error of a refresh says what to do.
    code: Literal["row-missing", "row-changed", "row-unreadable"]


@dataclass(frozen=True, slots=True)
class Refreshed:
    connection: Connection
    effect: Literal["renewed", "shops-read", "nothing-sent"]
    #: Why nothing was sent, if the effect is `nothing-sent`. The connection works.
    nothing_sent: TikTokShopError | None


@dataclass(frozen=True, slots=True)
class ValidToken:
    account: str
    token: Secret
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExistingGrant:
    account: str | None
    refresh_token: Secret
    access_token: Secret | None
    access_token_ends: datetime | None
    refresh_token_ends: datetime | None


@dataclass(frozen=True, slots=True)
class PendingShop:
    id: str
    name: str
    region: str
    seller_type: str
    code: str


@dataclass(frozen=True, slots=True)
class PendingInstall:
    #: Put the id into the form with which the customer confirms.
    id: Secret
    app: str
    account: str
    seller_name: str
    seller_base_region: str
    granted_scopes: list[str]
    shops: list[PendingShop]


@dataclass(frozen=True, slots=True)
class SharedConnection:
    """A connection of another customer that would lose these shops."""

    customer: str
    account: str
    shops: list[str]


@dataclass(frozen=True, slots=True)
class SharedConnections:
    connections: list[SharedConnection]
    #: Accounts whose list of shops was not read. More connections may be concerned.
    shops_not_read: list[str]


@dataclass(frozen=True, slots=True)
class Revoked:
    account: str
    shop: str


@dataclass(frozen=True, slots=True)
class NotRevoked:
    account: str
    shop: str | None
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    #: The connections that the call named. Empty if there was none, so nothing changed.
    found: list[ConnectionName]
    remaining: list[Connection]
    revoked: list[Revoked]
    not_revoked: list[NotRevoked]


@dataclass(frozen=True, slots=True)
class Owner:
    """A connection that knows the shop of a webhook."""

    customer: str
    account: str
    #: Whether the customer may see the event.
    may_use: bool


@dataclass(frozen=True, slots=True)
class Webhook:
    app: str
    notification_id: str | None
    #: TikTok Shop's number for the type of event.
    event_type: int
    shop: str | None
    occurred_at: datetime | None
    #: The member `data`, as unchanged JSON.
    data: str
    #: The connections that know the shop. Show the event only to customers whose `may_use` is true.
    owners: list[Owner]
    effect: Literal["none", "verification-due", "authorization-ending"]


@dataclass(frozen=True, slots=True)
class WebhookReply:
    #: The HTTP status with which to answer TikTok Shop.
    status: int
    reply: Literal[
        "handled",
        "repeated",
        "forged",
        "malformed",
        "too-large",
        "not-handled",
        "not-received",
        "not-read",
        "late",
    ]
    #: A `TikTokShopError`, or what your function raised.
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a connection or to the tenant's keys."""

    #: The position. Pass it as `after` to read later events.
    position: str
    at: datetime
    event: str
    customer: str | None
    account: str | None
    reason: str | None
    days: int | None
    ends_at: datetime | None
    shops: list[str] | None
    host_key: str | None
    actor: str | None
    stated_reason: str | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class NotRefreshed:
    """A due connection that a sweep did not refresh."""

    tenant: str
    customer: str
    account: str
    outcome: Literal["held", "backing-off", "ended", "no-longer-due", "failed"]
    #: When the waiting ends.
    until: datetime | None
    usable: bool | None
    error: TikTokShopError | None


@dataclass(frozen=True, slots=True)
class Swept:
    refreshed: int
    ended: int
    no_longer_due: int
    held: int
    backing_off: int
    #: The number of held and backing-off connections that do not work now.
    unusable: int
    failed: int
    notices: int
    #: Whether the sweep was stopped.
    stopped: bool
    #: The number of connections that are still due after a stopped sweep.
    left: int
    not_refreshed: list[NotRefreshed]


@dataclass(frozen=True, slots=True)
class KeyUse:
    tenant: str
    key: str
    host_key: str | None
    #: The host key that wraps new data keys of the tenant. `None` if there is none for the tenant.
    current: str | None
    records: int


@dataclass(frozen=True, slots=True)
class KeyStatus:
    #: The host key that wraps new data keys.
    current: str
    is_rotated: bool
    keys: list[KeyUse]


@dataclass(frozen=True, slots=True)
class UnusableHostKey:
    """A host key that opened no data key."""

    host_key: str
    #: `unavailable`: the key service or the key provider does not answer. `unknown`: there is no host key with this id.
    #: `mismatch`: the host key with this id does not unwrap the data key.
    reason: Literal["unavailable", "unknown", "mismatch"]
    #: The reason as an English text for a log.
    message: str


@dataclass(frozen=True, slots=True)
class HostKeyCheck:
    """Which host keys open the stored data keys."""

    #: The ids of the host keys that opened a data key.
    usable: list[str]
    unusable: list[UnusableHostKey]
    #: Whether data keys are stored, and the host keys open none of them. Then do not start: calls would fail, and new
    #: connections would be sealed under a host key that was configured by mistake.
    fits_nothing: bool
    #: Whether a key service or a key provider did not answer, and no host key opened a data key. So nobody knows
    #: whether the keys fit. The host may start: calls fail without loss until the service answers.
    nothing_available: bool
    #: Whether no data key is stored. Then any host key fits.
    found_no_data_key: bool


@dataclass(frozen=True, slots=True)
class Rotated:
    tenants: int
    added: int
    rewrapped: int
    resealed: int
    removed: int
    unopened: int


@dataclass(frozen=True, slots=True)
class Erased:
    #: The number of data keys.
    keys: int
    connections: int
    others: int
    #: What happened to the tenant's host key. `destroyed`: nobody can open the tenant's values any more, not even in a
    #: backup of the database. The exception is a backup from before a move from host keys that all tenants shared.
    #: `not-allowed`: the host had to keep the key, or the key provider has no function `destroy`. `next` says what
    #: somebody must do. `shared`: all tenants have the same host keys.
    host_key: Literal["destroyed", "not-allowed", "shared"]
    next: str | None


@dataclass(slots=True)
class CallResponse:
    """The answer of TikTok Shop to a signed call. It may be an error of TikTok Shop."""

    http_status: int
    #: The code in the answer, as text. `0` means success.
    code: str | None
    request_id: str | None
    content_type: str | None
    #: Whether the code is 0 and the HTTP status is 2xx.
    is_success: bool
    body: bytes = field(repr=False)

    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class EndedRequest:
    """A request that has ended, for metrics. It names no tenant, no customer and no shop."""

    #: The name of the operation, for example `refresh`.
    operation: str
    #: `ok`, the action of the error, or the reply to a webhook.
    outcome: str
    #: The code of the error.
    code: str | None
    seconds: float
