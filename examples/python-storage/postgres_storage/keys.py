"""The part that keeps data keys, lists what is sealed with them, and deletes tenants."""

from __future__ import annotations

from typing import Final, LiteralString

from tiktok_shop_connector.storage import (
    DataKey,
    Deleted,
    KeyName,
    KeyUse,
    Purpose,
    Sealed,
    SealedName,
    SealedRecord,
    WrappedKey,
)

from .database import OF_CONNECTION, Database, Row, bytes_of, hold_key, name_of

#: The records that are sealed, with the order of their purposes.
SEALED: Final = """(
  SELECT 0 AS purpose, tenant, customer, account, revision, sealed_key, sealed FROM tokens
  UNION ALL SELECT 1, tenant, customer, account, revision, sealed_key, sealed FROM rows WHERE sealed_key IS NOT NULL
) AS records"""
PURPOSES: Final[list[Purpose]] = ["token", "ciphers"]
#: The tables, apart from connections and keys, that `delete_tenant` empties.
OTHERS: Final[list[LiteralString]] = ["events", "once", "states", "installs", "webhooks"]


def _data_key(row: Row) -> DataKey:
    wrapped: WrappedKey | None = row["wrapped"] and {"host_key": row["host_key"], "bytes": row["wrapped"]}
    return {"id": row["id"].decode(), "wrapped": wrapped}


class Keys:
    """Implements `KeyStorage`."""

    database: Database

    async def tenant_keys(self, *, tenant: str) -> list[DataKey]:
        listed = "SELECT * FROM keys WHERE tenant = %s ORDER BY number"
        return [_data_key(row) for row in await self.database.all(listed, [tenant.encode()])]

    async def add_key(self, *, tenant: str, newest: str | None, key: DataKey) -> bool:
        async with self.database.transaction() as statements:
            # Writers of one tenant wait for each other.
            await statements.all("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [tenant.encode().hex()])
            found = await statements.all("SELECT id FROM keys WHERE tenant = %s ORDER BY number", [tenant.encode()])
            listed = [row["id"].decode() for row in found]
            if (listed[-1] if listed else None) != newest or key["id"] in listed:
                return False
            wrapped = key["wrapped"]
            values = (wrapped["host_key"], wrapped["bytes"]) if wrapped else (None, None)
            inserted = "INSERT INTO keys (tenant, id, host_key, wrapped) VALUES (%s, %s, %s, %s)"
            await statements.change(inserted, [*bytes_of(tenant, key["id"]), *values])
            return True

    async def rewrap_key(self, *, tenant: str, key: DataKey, next: WrappedKey | None) -> bool:
        old = key["wrapped"]
        if old is None:
            return False
        updated = """UPDATE keys SET host_key = %s, wrapped = %s
            WHERE tenant = %s AND id = %s AND host_key = %s AND wrapped = %s"""
        values = [next["host_key"], next["bytes"]] if next else [None, None]
        named = [*bytes_of(tenant, key["id"]), old["host_key"], old["bytes"]]
        return await self.database.change(updated, [*values, *named]) > 0

    async def remove_key(self, *, tenant: str, key: str) -> bool:
        values = bytes_of(tenant, key)
        async with self.database.transaction() as statements:
            # After this lock, no other transaction seals a record with the key.
            await statements.all("SELECT 1 FROM keys WHERE tenant = %s AND id = %s FOR UPDATE", values)
            used = f"SELECT 1 FROM {SEALED} WHERE tenant = %s AND sealed_key = %s LIMIT 1"
            if await statements.first(used, values) is not None:
                return False
            return await statements.change("DELETE FROM keys WHERE tenant = %s AND id = %s", values) > 0

    async def key_uses(self, *, after: KeyName | None, limit: int) -> list[KeyUse]:
        listed = f"""SELECT keys.*, (SELECT count(*) FROM {SEALED} WHERE records.tenant = keys.tenant
            AND records.sealed_key = keys.id) AS records
            FROM keys {"WHERE (tenant, id) > (%s, %s)" if after else ""} ORDER BY tenant, id LIMIT %s"""
        behind = bytes_of(after["tenant"], after["key"]) if after else []
        uses = await self.database.all(listed, [*behind, limit])
        return [{"tenant": row["tenant"].decode(), "key": _data_key(row), "records": row["records"]} for row in uses]

    async def sealed_under(self, *, tenant: str, key: str, after: SealedName | None, limit: int) -> list[SealedRecord]:
        behind = "AND (purpose, customer, account) > (%s, %s, %s)" if after else ""
        listed = f"""SELECT * FROM {SEALED} WHERE tenant = %s AND sealed_key = %s
            {behind} ORDER BY purpose, customer, account LIMIT %s"""
        name = [PURPOSES.index(after["purpose"]), *bytes_of(after["customer"], after["account"])] if after else []
        records = await self.database.all(listed, [*bytes_of(tenant, key), *name, limit])
        return [_sealed_record(row) for row in records]

    async def reseal(
        self,
        *,
        tenant: str,
        customer: str,
        account: str,
        purpose: Purpose,
        revision: str,
        sealed: Sealed,
        next: Sealed,
    ) -> bool:
        table: LiteralString = "tokens" if purpose == "token" else "rows"
        updated = f"""UPDATE {table} SET sealed_key = %s, sealed = %s
            WHERE {OF_CONNECTION} AND revision = %s AND sealed_key = %s AND sealed = %s"""
        named = [*bytes_of(tenant, customer, account, revision, sealed["key"]), sealed["bytes"]]
        async with self.database.transaction() as statements:
            count = await statements.change(updated, [next["key"].encode(), next["bytes"], *named])
            await hold_key(statements, tenant, next["key"])
            return count > 0

    async def delete_tenant(self, *, tenant: str, limit: int) -> Deleted:
        of = tenant.encode()
        async with self.database.transaction() as statements:
            listed = """SELECT customer, account FROM tokens WHERE tenant = %s
                UNION SELECT customer, account FROM rows WHERE tenant = %s ORDER BY customer, account LIMIT %s"""
            connections = await statements.all(listed, [of, of, limit])
            for row in connections:
                name = [of, row["customer"], row["account"]]
                await statements.change(f"DELETE FROM tokens WHERE {OF_CONNECTION}", name)
                await statements.change(f"DELETE FROM rows WHERE {OF_CONNECTION}", name)
            others, is_complete = 0, len(connections) < limit
            for table in OTHERS:
                some = f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE tenant = %s LIMIT %s)"
                count = await statements.change(some, [of, limit])
                others += count
                is_complete = is_complete and count < limit
        return {"connections": len(connections), "others": others, "is_complete": is_complete}


def _sealed_record(row: Row) -> SealedRecord:
    return {
        **name_of(row),
        "purpose": PURPOSES[row["purpose"]],
        "revision": row["revision"].decode(),
        "sealed": {"key": row["sealed_key"].decode(), "bytes": row["sealed"]},
    }
