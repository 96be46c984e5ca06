"""The functions of a host that connect a seller: consents, installs and imports. Also the export of a grant."""

from __future__ import annotations

from datetime import datetime

from . import _values, types
from ._native import Secret
from ._requests import Requests
from .types import SecretInput, ShopPolicy


class Connecting(Requests):
    """Connects sellers."""

    __slots__ = ()

    async def apps(self, *, tenant: str) -> list[str]:
        """Returns the keys of the tenant's apps. If there are several, functions with the argument `app` need it."""
        return _values.apps(await self._ask("apps", tenant=tenant))

    async def begin_consent(
        self,
        *,
        tenant: str,
        customer: str,
        browser: SecretInput,
        app: str | None = None,
        shop_policy: ShopPolicy = "all",
    ) -> Secret:
        """Begins a consent, and returns the link for the browser. `browser` is the secret of the signed-in session."""
        named = {"tenant": tenant, "customer": customer, "browser": browser, "app": app, "shop_policy": shop_policy}
        return _values.secret_url(await self._ask("begin-consent", **named))

    async def finish_consent(self, *, tenant: str, browser: SecretInput, query: SecretInput) -> types.Connection:
        """Finishes the consent that this browser began. `query` is the query of the callback, unchanged."""
        return _values.connection(await self._ask("finish-consent", tenant=tenant, browser=browser, query=query))

    async def authorization_url(self, *, tenant: str, state: SecretInput, app: str | None = None) -> Secret:
        """Returns the link to TikTok Shop's consent page, for a state of your own."""
        return _values.secret_url(await self._ask("authorization-url", tenant=tenant, state=state, app=app))

    async def connect(
        self,
        *,
        tenant: str,
        customer: str,
        code: SecretInput | None = None,
        query: SecretInput | None = None,
        state: SecretInput | None = None,
        app: str | None = None,
        shop_policy: ShopPolicy = "all",
    ) -> types.Connection:
        """Connects with a code, or with the query of a callback and the state that it must contain."""
        grant = {"code": code, "query": query, "state": state, "shop_policy": shop_policy}
        return _values.connection(await self._ask("connect", tenant=tenant, customer=customer, app=app, **grant))

    # Installs from TikTok's App Store.

    async def begin_install(
        self, *, tenant: str, customer: str, browser: SecretInput, query: SecretInput, app: str | None = None
    ) -> types.PendingInstall:
        """Begins an install from TikTok's App Store. It connects nothing."""
        named = {"tenant": tenant, "customer": customer, "browser": browser, "query": query, "app": app}
        return _values.pending_install(await self._ask("begin-install", **named))

    async def confirm_install(
        self, *, tenant: str, customer: str, browser: SecretInput, id: SecretInput, shop_policy: ShopPolicy = "all"
    ) -> types.Connection:
        """Connects with a pending install, after the customer has confirmed it."""
        named = {"tenant": tenant, "customer": customer, "browser": browser, "id": id, "shop_policy": shop_policy}
        return _values.connection(await self._ask("confirm-install", **named))

    async def cancel_install(self, *, tenant: str, customer: str, browser: SecretInput, id: SecretInput) -> bool:
        """Deletes a pending install. Returns whether it was there."""
        named = {"tenant": tenant, "customer": customer, "browser": browser, "id": id}
        return _values.found(await self._ask("cancel-install", **named))

    # Sellers of another system.

    async def import_grant(
        self,
        *,
        tenant: str,
        customer: str,
        refresh_token: SecretInput,
        account: str | None = None,
        app: str | None = None,
        access_token: SecretInput | None = None,
        access_token_ends: datetime | None = None,
        refresh_token_ends: datetime | None = None,
        shop_policy: ShopPolicy = "all",
    ) -> types.Connection:
        """Takes over a seller of another system. That system must have stopped its refreshes."""
        named = {"tenant": tenant, "customer": customer, "account": account, "app": app, "shop_policy": shop_policy}
        value = await self._ask(
            "import-grant",
            **named,
            refresh_token=refresh_token,
            access_token=access_token,
            access_token_ends=_values.seconds("access_token_ends", access_token_ends),
            refresh_token_ends=_values.seconds("refresh_token_ends", refresh_token_ends),
        )
        return _values.connection(value)

    async def export_grant(self, *, tenant: str, customer: str, account: str | None = None) -> types.ExistingGrant:
        """Returns the tokens of a connection, for another installation. Needs `allow_export`."""
        value = await self._ask("export-grant", tenant=tenant, customer=customer, account=account)
        return _values.existing_grant(value)
