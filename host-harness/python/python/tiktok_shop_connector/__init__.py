"""Connects the sellers of a platform to TikTok Shop: consent, tokens, signed calls, webhooks.

`docs/python.md` in the repository explains the package with examples.
"""

from . import storage
from ._host import Host, Opening
from ._logs import forward_logs
from ._native import Secret
from ._retries import with_retries
from .errors import (
    Action,
    InternalError,
    InvalidRequestError,
    KeyGone,
    MisconfiguredError,
    ReauthorizeError,
    Refused,
    RetryAfterError,
    StorageConflictError,
    StorageFailedError,
    TikTokShopError,
    UpstreamError,
)
from .options import App, Deadlines, HostKeys, Limits, TenantApp
from .storage import Storage, check_storage, contract_checks
from .types import (
    CallResponse,
    Connection,
    ConnectionName,
    Disconnected,
    EndedRequest,
    Event,
    ExistingGrant,
    KeyStatus,
    LeftOut,
    PendingInstall,
    Refreshed,
    SecretInput,
    SharedConnections,
    Shop,
    Swept,
    ValidToken,
    Webhook,
    WebhookReply,
)

__all__ = [
    "Action",
    "App",
    "CallResponse",
    "Connection",
    "ConnectionName",
    "Deadlines",
    "Disconnected",
    "EndedRequest",
    "Event",
    "ExistingGrant",
    "Host",
    "HostKeys",
    "InternalError",
    "InvalidRequestError",
    "KeyGone",
    "KeyStatus",
    "LeftOut",
    "Limits",
    "MisconfiguredError",
    "Opening",
    "PendingInstall",
    "ReauthorizeError",
    "Refreshed",
    "Refused",
    "RetryAfterError",
    "Secret",
    "SecretInput",
    "SharedConnections",
    "Shop",
    "Storage",
    "StorageConflictError",
    "StorageFailedError",
    "Swept",
    "TenantApp",
    "TikTokShopError",
    "UpstreamError",
    "ValidToken",
    "Webhook",
    "WebhookReply",
    "check_storage",
    "contract_checks",
    "forward_logs",
    "storage",
    "with_retries",
]
