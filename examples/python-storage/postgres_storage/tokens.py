"""The part that keeps token records."""

from __future__ import annotations

from tiktok_shop_connector.storage import Done, Due, Environment, NewToken, Sealed, StaleToken, StoredToken

from .database import OF_CONNECTION, Database, Row, Statements, bytes_of, hold_key, name_of


class Tokens:
    """Implements `TokenStorage`."""

    database: Database

    async def belongs_to(self, *, environment: Environment) -> bool:
        first = """INSERT INTO environment (name)
            SELECT CASE WHEN EXISTS (SELECT 1 FROM tokens) THEN 'tiktok-shop' ELSE %s END ON CONFLICT DO NOTHING"""
        await self.database.change(first, [environment])
        (row,) = await self.database.all("SELECT name FROM environment")
        return bool(row["name"] == environment)

    async def accounts(self, *, tenant: str, customer: str) -> list[str]:
        listed = "SELECT account FROM tokens WHERE tenant = %s AND customer = %s ORDER BY account"
        return [row["account"].decode() for row in await self.database.all(listed, bytes_of(tenant, customer))]

    async def load_token(self, *, tenant: str, customer: str, account: str) -> StoredToken | None:
        loaded = f"""SELECT revision, sealed_key, sealed,
            (extract(epoch FROM clock_timestamp() - written_at) * 1000)::float8 AS age_ms
            FROM tokens WHERE {OF_CONNECTION}"""
        row = await self.database.first(loaded, bytes_of(tenant, customer, account))
        return None if row is None else _token(row)

    async def swap_token(
        self, *, tenant: str, customer: str, account: str, expected: str | None, next: NewToken | None
    ) -> Done | StaleToken:
        key = bytes_of(tenant, customer, account)

        async def write(statements: Statements) -> bool:
            if next is None:
                deleted = f"DELETE FROM tokens WHERE {OF_CONNECTION} AND revision = %s"
                return await statements.change(deleted, [*key, (expected or "").encode()]) > 0
            sealed = next["value"]
            values = [*bytes_of(next["revision"], sealed["key"]), sealed["bytes"], next["refresh_due_at"]]
            if expected is None:
                inserted = """INSERT INTO tokens VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp())
                    ON CONFLICT DO NOTHING"""
                count = await statements.change(inserted, [*key, *values])
            else:
                updated = f"""UPDATE tokens SET revision = %s, sealed_key = %s, sealed = %s, refresh_due_at = %s,
                    written_at = clock_timestamp() WHERE {OF_CONNECTION} AND revision = %s"""
                count = await statements.change(updated, [*values, *key, expected.encode()])
            if count > 0:
                await hold_key(statements, tenant, sealed["key"])
            return count > 0

        async def load() -> StoredToken | None:
            return await self.load_token(tenant=tenant, customer=customer, account=account)

        swapped = await self.database.swap(expected, next is None, write, load, lambda stored: stored["revision"])
        return {"outcome": "stale", "stored": swapped[0]} if isinstance(swapped, tuple) else swapped

    async def due(self, *, now: int, after: Due | None, limit: int) -> list[Due]:
        order = "refresh_due_at, tenant, customer, account"
        behind = f"AND ({order}) > (%s, %s, %s, %s)" if after else ""
        listed = f"""SELECT refresh_due_at AS at, tenant, customer, account FROM tokens WHERE refresh_due_at <= %s
            {behind} ORDER BY {order} LIMIT %s"""
        values = [after["at"], *bytes_of(after["tenant"], after["customer"], after["account"])] if after else []
        due = await self.database.all(listed, [now, *values, limit])
        return [{"at": row["at"], "tenant": row["tenant"].decode(), **name_of(row)} for row in due]


def _token(row: Row) -> StoredToken:
    value: Sealed = {"key": row["sealed_key"].decode(), "bytes": row["sealed"]}
    return {"revision": row["revision"].decode(), "value": value, "age_ms": row["age_ms"]}
