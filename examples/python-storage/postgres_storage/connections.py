"""The part that keeps rows and events."""

from __future__ import annotations

from typing import Any, Final

from tiktok_shop_connector.storage import (
    Done,
    Due,
    Ending,
    Name,
    NewRow,
    RowFilter,
    Sealed,
    StaleRow,
    StoredEvent,
    StoredRow,
)

from .database import OF_CONNECTION, Database, Row, Statements, append, bytes_if, bytes_of, hold_key, name_of

COLUMNS: Final = "revision, row, sealed_key, sealed"


def _row(row: Row) -> StoredRow:
    key = row["sealed_key"]
    sealed: Sealed | None = None if key is None else {"key": key.decode(), "bytes": row["sealed"]}
    return {"revision": row["revision"].decode(), "row": row["row"], "sealed": sealed}


def _values(next: NewRow) -> list[Any]:
    sealed, index = next["sealed"], next["index"]
    key, value = (sealed["key"].encode(), sealed["bytes"]) if sealed else (None, None)
    head = [next["revision"].encode(), key, value, next["row"], index["status"], index["ends_at"]]
    return [*head, index["seller_name"].encode(), index["shops"], index["grant"].encode()]


class Connections:
    """Implements `ConnectionStorage`."""

    database: Database

    async def list_rows(self, *, tenant: str, customer: str) -> list[StoredRow]:
        listed = f"SELECT {COLUMNS} FROM rows WHERE tenant = %s AND customer = %s ORDER BY account"
        return [_row(row) for row in await self.database.all(listed, bytes_of(tenant, customer))]

    async def load_row(self, *, tenant: str, customer: str, account: str) -> StoredRow | None:
        loaded = f"SELECT {COLUMNS} FROM rows WHERE {OF_CONNECTION}"
        row = await self.database.first(loaded, bytes_of(tenant, customer, account))
        return None if row is None else _row(row)

    async def swap_row(
        self,
        *,
        tenant: str,
        customer: str,
        account: str,
        expected: str | None,
        next: NewRow | None,
        events: list[str],
    ) -> Done | StaleRow:
        key = bytes_of(tenant, customer, account)

        async def change(statements: Statements) -> bool:
            if next is None and expected is None:
                # Nothing is deleted, but the events are appended if there is no row.
                found = f"SELECT 1 FROM rows WHERE {OF_CONNECTION} FOR UPDATE"
                return await statements.first(found, key) is None
            if next is None:
                deleted = f"DELETE FROM rows WHERE {OF_CONNECTION} AND revision = %s"
                return await statements.change(deleted, [*key, bytes_if(expected)]) > 0
            if expected is None:
                inserted = """INSERT INTO rows VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                    ON CONFLICT DO NOTHING"""
                return await statements.change(inserted, [*key, *_values(next)]) > 0
            updated = f"""UPDATE rows SET revision = %s, sealed_key = %s, sealed = %s, row = %s, status = %s,
                ends_at = %s, seller_name = %s, shops = %s, grant_name = %s WHERE {OF_CONNECTION} AND revision = %s"""
            return await statements.change(updated, [*_values(next), *key, expected.encode()]) > 0

        async def write(statements: Statements) -> bool:
            if not await change(statements):
                return False
            if next is not None and next["sealed"] is not None:
                await hold_key(statements, tenant, next["sealed"]["key"])
            await append(statements, tenant, events)
            return True

        async def load() -> StoredRow | None:
            return await self.load_row(tenant=tenant, customer=customer, account=account)

        swapped = await self.database.swap(expected, next is None, write, load, lambda stored: stored["revision"])
        return {"outcome": "stale", "stored": swapped[0]} if isinstance(swapped, tuple) else swapped

    async def owners(self, *, tenant: str, shop: str) -> list[Name]:
        listed = """SELECT customer, account FROM rows WHERE tenant = %s AND shops @> ARRAY[%s]::text[]
            ORDER BY customer, account"""
        return [name_of(row) for row in await self.database.all(listed, [tenant.encode(), shop])]

    async def tenant_rows(self, *, tenant: str, filter: RowFilter, after: Name | None, limit: int) -> list[StoredRow]:
        listed = f"""SELECT {COLUMNS} FROM rows WHERE tenant = %(tenant)s
            AND (%(status)s::text IS NULL OR status = %(status)s)
            AND (%(shop)s::text IS NULL OR shops @> ARRAY[%(shop)s]::text[])
            AND (%(account)s::bytea IS NULL OR account = %(account)s)
            AND (%(seller_name)s::bytea IS NULL OR seller_name = %(seller_name)s)
            AND EXISTS (SELECT 1 FROM tokens WHERE (tokens.tenant, tokens.customer, tokens.account) =
              (rows.tenant, rows.customer, rows.account))
            {"AND (customer, account) > (%(after_customer)s, %(after_account)s)" if after else ""}
            ORDER BY customer, account LIMIT %(limit)s"""
        values = {
            "tenant": tenant.encode(),
            "status": filter["status"],
            "shop": filter["shop"],
            "account": bytes_if(filter["account"]),
            "seller_name": bytes_if(filter["seller_name"]),
            "after_customer": after and after["customer"].encode(),
            "after_account": after and after["account"].encode(),
            "limit": limit,
        }
        return [_row(row) for row in await self.database.all(listed, values)]

    async def endings(self, *, by: int, after: Due | None, limit: int) -> list[Ending]:
        order = "ends_at, tenant, customer, account"
        behind = f"AND ({order}) > (%s, %s, %s, %s)" if after else ""
        listed = f"""SELECT ends_at AS at, tenant, customer, account, grant_name FROM rows
            WHERE ends_at <= %s AND status <> 'reauthorization-required' {behind} ORDER BY {order} LIMIT %s"""
        values = [after["at"], *bytes_of(after["tenant"], after["customer"], after["account"])] if after else []
        endings = await self.database.all(listed, [by, *values, limit])
        return [
            {"at": row["at"], "tenant": row["tenant"].decode(), **name_of(row), "grant": row["grant_name"].decode()}
            for row in endings
        ]

    async def events(self, *, tenant: str, after: int | None, limit: int) -> list[StoredEvent]:
        listed = "SELECT position, event FROM events WHERE tenant = %s AND position > %s ORDER BY position LIMIT %s"
        events = await self.database.all(listed, [tenant.encode(), after or 0, limit])
        return [{"position": row["position"], "event": row["event"]} for row in events]

    async def knows_once(self, *, tenant: str, customer: str, account: str, once: str) -> bool:
        found = f"SELECT 1 FROM once WHERE {OF_CONNECTION} AND once = %s"
        return await self.database.first(found, [*bytes_of(tenant, customer, account), once]) is not None

    async def append_once(
        self,
        *,
        tenant: str,
        customer: str | None,
        account: str | None,
        once: str,
        event: str,
        grant: str | None,
    ) -> bool:
        # An id has one byte at least, so an empty one stands for an event of the whole tenant.
        key = bytes_of(tenant, customer or "", account or "")
        async with self.database.transaction() as statements:
            if grant is not None:
                # The lock lasts until the transaction ends, so the connection can't end before the event is stored.
                works = f"""SELECT 1 FROM rows WHERE {OF_CONNECTION} AND grant_name = %s
                    AND status <> 'reauthorization-required' FOR SHARE"""
                if await statements.first(works, [*key, grant.encode()]) is None:
                    return False
            inserted = "INSERT INTO once VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
            is_first = await statements.change(inserted, [*key, once]) > 0
            if is_first:
                await append(statements, tenant, [event])
            return is_first
