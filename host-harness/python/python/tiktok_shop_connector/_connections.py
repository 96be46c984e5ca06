"""The functions of a host that read, use and end connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Literal

from . import _values, types
from ._requests import NOT_GIVEN, NotGiven, Requests, given
from ._values import Query
from .types import Method

#: What the function concerns if `shop` and `account` are left out.
_WITHOUT_TARGET: Final = "all connections of the customer"


class Connections(Requests):
    """Reads, uses and ends connections."""

    __slots__ = ()

    async def refresh(
        self,
        *,
        tenant: str,
        customer: str,
        account: str | None = None,
        mode: Literal["when-due", "forced"] = "when-due",
    ) -> types.Refreshed:
        """Renews the tokens if they are due or `mode` is `forced`, and reads the shops."""
        value = await self._ask("refresh", tenant=tenant, customer=customer, account=account, mode=mode)
        return _values.refreshed(value)

    async def list_shops(self, *, tenant: str, customer: str) -> list[types.Shop]:
        """Returns the shops that the customer may use now."""
        return _values.shops(await self._ask("list-shops", tenant=tenant, customer=customer))

    async def list_connections(self, *, tenant: str, customer: str) -> list[types.Connection]:
        """Returns the customer's connections."""
        return _values.connections(await self._ask("list-connections", tenant=tenant, customer=customer))

    async def left_out(self, *, tenant: str, customer: str) -> list[types.LeftOut]:
        """Returns the connections that both lists leave out because of their rows, although their tokens are stored.

        If this list and `list_connections` are both empty, the customer is not connected.
        """
        return [types.LeftOut(**one) for one in await self._ask("left-out", tenant=tenant, customer=customer)]

    async def tenant_connections(
        self,
        *,
        tenant: str,
        status: types.ConnectionStatus | None = None,
        shop: str | None = None,
        account: str | None = None,
        seller_name: str | None = None,
        after: types.Connection | types.ConnectionName | None = None,
        limit: int = 100,
    ) -> list[types.Connection]:
        """Returns a page of the tenant's connections. Pass the last one as `after` to get the next page.

        `limit` is at least 1 and at most 1000.
        """
        name = after and {"customer": after.customer, "account": after.account}
        named = {"status": status, "shop": shop, "account": account, "seller_name": seller_name}
        value = await self._ask("tenant-connections", tenant=tenant, **named, after=name, limit=limit)
        return _values.connections(value)

    async def link_shops(
        self, *, tenant: str, customer: str, shops: Iterable[str], account: str | None = None
    ) -> types.Connection:
        """Links exactly these shops of the account."""
        named = {"tenant": tenant, "customer": customer, "account": account, "shops": _values.names("shops", shops)}
        return _values.connection(await self._ask("link-shops", **named))

    async def access_token(
        self, *, tenant: str, customer: str, account: str | None = None, min_validity_seconds: int = 0
    ) -> types.ValidToken:
        """Returns a token that is valid for at least this time, which is at most one hour. Causes an event."""
        named = {"account": account, "min_validity_seconds": min_validity_seconds}
        return _values.valid_token(await self._ask("access-token", tenant=tenant, customer=customer, **named))

    async def call(
        self,
        *,
        tenant: str,
        customer: str,
        method: Method,
        path: str,
        shop: str | NotGiven = NOT_GIVEN,
        account: str | NotGiven = NOT_GIVEN,
        query: Query = (),
        body: object = None,
        content_type: str | None = None,
        max_response_bytes: int | None = None,
    ) -> types.CallResponse:
        """Makes a signed call of TikTok Shop's API.

        The connector adds the app key, the time, the token, the cipher and a signature. Bytes and a text are sent
        unchanged, and every other body as JSON. With `shop`, the call uses one shop; with `account`, the whole account;
        with neither, the customer's only account. An argument that is `None` raises a `TypeError`, so a missing value
        never means the whole account.
        """
        named: dict[str, Any] = {
            "tenant": tenant,
            "customer": customer,
            **given("call", "the whole account", shop=shop),
            **given("call", "the customer's only account", account=account),
            "method": method,
            "path": path,
            "query": _values.pairs(query),
            "content_type": content_type,
            "max_response_bytes": max_response_bytes,
            "has_body": body is not None,
        }
        sent = None if body is None else _values.body_bytes(body)
        value, received = await self._core.perform("call", named, self._actor, self._reason, sent)
        return types.CallResponse(**value, body=received or b"")

    # The end of a connection.

    async def shared_connections(
        self,
        *,
        tenant: str,
        customer: str,
        account: str | NotGiven = NOT_GIVEN,
        shop: str | NotGiven = NOT_GIVEN,
        stop: asyncio.Event | None = None,
    ) -> types.SharedConnections:
        """Returns the connections of other customers that would lose shops by a revocation.

        It concerns an account or a shop. If both arguments are left out, it concerns all connections of the customer.
        An argument that is `None` raises a `TypeError`. Accounts that were not read before `stop` or `close` are in
        `shops_not_read`.
        """
        target = given("shared_connections", _WITHOUT_TARGET, account=account, shop=shop)
        named = {"tenant": tenant, "customer": customer, **target}
        return _values.shared_connections(await self._ask_until("shared-connections", stop, **named))

    async def disconnect(
        self,
        *,
        tenant: str,
        customer: str,
        tiktok_access: Literal["keep", "revoke"],
        account: str | NotGiven = NOT_GIVEN,
        shop: str | NotGiven = NOT_GIVEN,
    ) -> types.Disconnected:
        """Ends the connections of an account or a shop.

        If both arguments are left out, it ends all connections of the customer. An argument that is `None` raises a
        `TypeError`, so a missing value never ends all connections.
        """
        named = {"tiktok_access": tiktok_access, **given("disconnect", _WITHOUT_TARGET, account=account, shop=shop)}
        return _values.disconnected(await self._ask("disconnect", tenant=tenant, customer=customer, **named))
