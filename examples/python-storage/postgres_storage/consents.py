"""The parts that keep consents, pending installs and handled webhooks."""

from __future__ import annotations

from typing import Any, Final

from tiktok_shop_connector import Refused
from tiktok_shop_connector.storage import StoredConsent, StoredInstall

from .database import Database

AGE: Final = "(extract(epoch FROM clock_timestamp() - at) * 1000)::float8 AS age_ms"


def _key(tenant: str, digest: str) -> list[Any]:
    return [tenant.encode(), digest]


class Consents:
    """Implements `ConsentStorage` and `WebhookStorage`."""

    database: Database

    async def put_state(self, *, tenant: str, state: str, consent: str) -> None:
        await self.delete_expired()
        inserted = """INSERT INTO states (tenant, state, consent, at) VALUES (%s, %s, %s, clock_timestamp())
            ON CONFLICT DO NOTHING"""
        if await self.database.change(inserted, [*_key(tenant, state), consent]) == 0:
            raise Refused("this state is already stored")

    async def load_state(self, *, tenant: str, state: str) -> StoredConsent | None:
        loaded = f"SELECT consent, used, {AGE} FROM states WHERE tenant = %s AND state = %s"
        row = await self.database.first(loaded, _key(tenant, state))
        if row is None:
            return None
        return {"consent": row["consent"], "used": row["used"], "age_ms": row["age_ms"]}

    async def use_state(self, *, tenant: str, state: str) -> bool:
        used = "UPDATE states SET used = true WHERE tenant = %s AND state = %s AND NOT used"
        return await self.database.change(used, _key(tenant, state)) > 0

    async def release_state(self, *, tenant: str, state: str) -> None:
        released = "UPDATE states SET used = false WHERE tenant = %s AND state = %s"
        await self.database.change(released, _key(tenant, state))

    async def put_install(self, *, tenant: str, install: str, browser: str, sealed: str) -> None:
        await self.delete_expired()
        inserted = "INSERT INTO installs VALUES (%s, %s, %s, %s, clock_timestamp()) ON CONFLICT DO NOTHING"
        if await self.database.change(inserted, [*_key(tenant, install), browser, sealed]) == 0:
            raise Refused("this install is already stored")

    async def load_install(self, *, tenant: str, install: str) -> StoredInstall | None:
        loaded = f"SELECT browser, sealed, {AGE} FROM installs WHERE tenant = %s AND install = %s"
        row = await self.database.first(loaded, _key(tenant, install))
        if row is None:
            return None
        return {"browser": row["browser"], "sealed": row["sealed"], "age_ms": row["age_ms"]}

    async def close_install(self, *, tenant: str, install: str) -> None:
        closed = "UPDATE installs SET sealed = NULL WHERE tenant = %s AND install = %s"
        await self.database.change(closed, _key(tenant, install))

    async def delete_install(self, *, tenant: str, install: str) -> None:
        deleted = "DELETE FROM installs WHERE tenant = %s AND install = %s"
        await self.database.change(deleted, _key(tenant, install))

    async def delete_expired(self) -> None:
        await self.database.change("DELETE FROM states WHERE at < clock_timestamp() - interval '1 hour'")
        await self.database.change("DELETE FROM installs WHERE at < clock_timestamp() - interval '30 minutes'")

    async def knows_webhook(self, *, tenant: str, webhook: str) -> bool:
        found = "SELECT 1 FROM webhooks WHERE tenant = %s AND webhook = %s"
        return await self.database.first(found, _key(tenant, webhook)) is not None

    async def remember_webhook(self, *, tenant: str, webhook: str) -> None:
        old = "DELETE FROM webhooks WHERE tenant = %s AND at < clock_timestamp() - interval '3 days'"
        await self.database.change(old, [tenant.encode()])
        inserted = "INSERT INTO webhooks VALUES (%s, %s, clock_timestamp()) ON CONFLICT DO NOTHING"
        await self.database.change(inserted, _key(tenant, webhook))
