"""A storage in Python: it keeps everything in the memory of this process.

The five parts of a storage are in one class. `docs/storage.md` says what each function promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from memory_tenant import (
    DONE,
    WEBHOOK_SECONDS,
    Install,
    Key,
    State,
    Tenant,
    Token,
    due_order,
    name,
    page,
    record,
    row_of,
    sealed_order,
)
from tiktok_shop_connector import Refused
from tiktok_shop_connector.storage import (
    DataKey,
    Deleted,
    Done,
    Due,
    Ending,
    Environment,
    KeyName,
    KeyUse,
    Name,
    NewRow,
    NewToken,
    Purpose,
    RowFilter,
    Sealed,
    SealedName,
    SealedRecord,
    StaleRow,
    StaleToken,
    StoredConsent,
    StoredEvent,
    StoredInstall,
    StoredRow,
    StoredToken,
    WrappedKey,
)


class MemoryStorage:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._environment: Environment | None = None
        #: Returns the time of the storage in seconds.
        self._now = now

    def tenant(self, tenant: str) -> Tenant:
        return self._tenants.setdefault(tenant, Tenant())

    # Token records.

    def belongs_to(self, *, environment: Environment) -> bool:
        if self._environment is None:
            has_tokens = any(kept.tokens for kept in self._tenants.values())
            self._environment = "tiktok-shop" if has_tokens else environment
        return self._environment == environment

    def accounts(self, *, tenant: str, customer: str) -> list[str]:
        accounts = [account for of, account in self.tenant(tenant).tokens if of == customer]
        return sorted(accounts, key=str.encode)

    def load_token(self, *, tenant: str, customer: str, account: str) -> StoredToken | None:
        stored = self.tenant(tenant).tokens.get((customer, account))
        if stored is None:
            return None
        age_ms = (self._now() - stored.at) * 1000
        return {"revision": stored.token["revision"], "value": stored.token["value"], "age_ms": age_ms}

    def swap_token(
        self, *, tenant: str, customer: str, account: str, expected: str | None, next: NewToken | None
    ) -> Done | StaleToken:
        kept, key = self.tenant(tenant), (customer, account)
        stored = self.load_token(tenant=tenant, customer=customer, account=account)
        if (stored and stored["revision"]) != expected:
            return {"outcome": "stale", "stored": stored}
        if next is None:
            kept.tokens.pop(key, None)
        else:
            kept.check_key(next["value"])
            kept.tokens[key] = Token(next, self._now())
        return DONE

    def due(self, *, now: int, after: Due | None, limit: int) -> list[Due]:
        due: list[Due] = [
            {"at": at, "tenant": tenant, **name(key)}
            for tenant, kept in self._tenants.items()
            for key, stored in kept.tokens.items()
            if (at := stored.token["refresh_due_at"]) is not None and at <= now
        ]
        return page(due, due_order, after and due_order(after), limit)

    # Rows and events.

    def list_rows(self, *, tenant: str, customer: str) -> list[StoredRow]:
        rows = [(key, row) for key, row in self.tenant(tenant).rows.items() if key[0] == customer]
        return [row_of(row) for _, row in page(rows, lambda item: item[0], None, len(rows))]

    def load_row(self, *, tenant: str, customer: str, account: str) -> StoredRow | None:
        row = self.tenant(tenant).rows.get((customer, account))
        return row and row_of(row)

    def swap_row(
        self,
        *,
        tenant: str,
        customer: str,
        account: str,
        expected: str | None,
        next: NewRow | None,
        events: list[str],
    ) -> Done | StaleRow:
        kept = self.tenant(tenant)
        stored = self.load_row(tenant=tenant, customer=customer, account=account)
        if (stored and stored["revision"]) != expected:
            return {"outcome": "stale", "stored": stored}
        if next is None:
            kept.rows.pop((customer, account), None)
        else:
            kept.check_key(next["sealed"])
            kept.rows[(customer, account)] = next
        for event in events:
            kept.append(event)
        return DONE

    def owners(self, *, tenant: str, shop: str) -> list[Name]:
        keys = [key for key, row in self.tenant(tenant).rows.items() if shop in row["index"]["shops"]]
        return [name(key) for key in page(keys, lambda key: key, None, len(keys))]

    def tenant_rows(self, *, tenant: str, filter: RowFilter, after: Name | None, limit: int) -> list[StoredRow]:
        kept = self.tenant(tenant)

        def matches(key: Key, row: NewRow) -> bool:
            index = row["index"]
            return (
                filter["status"] in (None, index["status"])
                and (filter["shop"] is None or filter["shop"] in index["shops"])
                and filter["account"] in (None, key[1])
                and filter["seller_name"] in (None, index["seller_name"])
                and key in kept.tokens
            )

        rows = [(key, row) for key, row in kept.rows.items() if matches(key, row)]
        behind = after and (after["customer"], after["account"])
        return [row_of(row) for _, row in page(rows, lambda item: item[0], behind, limit)]

    def endings(self, *, by: int, after: Due | None, limit: int) -> list[Ending]:
        endings: list[Ending] = [
            {"at": at, "tenant": tenant, **name(key), "grant": row["index"]["grant"]}
            for tenant, kept in self._tenants.items()
            for key, row in kept.rows.items()
            if row["index"]["status"] != "reauthorization-required"
            if (at := row["index"]["ends_at"]) is not None and at <= by
        ]
        return page(endings, due_order, after and due_order(after), limit)

    def events(self, *, tenant: str, after: int | None, limit: int) -> list[StoredEvent]:
        behind = after or 0
        return [event for event in self.tenant(tenant).events if event["position"] > behind][:limit]

    def knows_once(self, *, tenant: str, customer: str, account: str, once: str) -> bool:
        return (customer, account, once) in self.tenant(tenant).once

    def append_once(
        self,
        *,
        tenant: str,
        customer: str | None,
        account: str | None,
        once: str,
        event: str,
        grant: str | None,
    ) -> bool:
        kept, key = self.tenant(tenant), (customer, account, once)
        if grant is not None:
            row = kept.rows.get((str(customer), str(account)))
            if row is None or row["index"]["grant"] != grant or row["index"]["status"] == "reauthorization-required":
                return False
        if key in kept.once:
            return False
        kept.once.add(key)
        kept.append(event)
        return True

    # Consents and installs.

    def put_state(self, *, tenant: str, state: str, consent: str) -> None:
        kept = self.tenant(tenant)
        kept.delete_old_consents(self._now())
        if state in kept.states:
            raise Refused("this state is already stored")
        kept.states[state] = State(consent, self._now())

    def load_state(self, *, tenant: str, state: str) -> StoredConsent | None:
        stored = self.tenant(tenant).states.get(state)
        if stored is None:
            return None
        return {"consent": stored.consent, "used": stored.used, "age_ms": (self._now() - stored.at) * 1000}

    def use_state(self, *, tenant: str, state: str) -> bool:
        stored = self.tenant(tenant).states.get(state)
        if stored is None or stored.used:
            return False
        stored.used = True
        return True

    def release_state(self, *, tenant: str, state: str) -> None:
        stored = self.tenant(tenant).states.get(state)
        if stored is not None:
            stored.used = False

    def put_install(self, *, tenant: str, install: str, browser: str, sealed: str) -> None:
        kept = self.tenant(tenant)
        kept.delete_old_consents(self._now())
        if install in kept.installs:
            raise Refused("this install is already stored")
        kept.installs[install] = Install(browser, sealed, self._now())

    def load_install(self, *, tenant: str, install: str) -> StoredInstall | None:
        stored = self.tenant(tenant).installs.get(install)
        if stored is None:
            return None
        return {"browser": stored.browser, "sealed": stored.sealed, "age_ms": (self._now() - stored.at) * 1000}

    def close_install(self, *, tenant: str, install: str) -> None:
        stored = self.tenant(tenant).installs.get(install)
        if stored is not None:
            stored.sealed = None

    def delete_install(self, *, tenant: str, install: str) -> None:
        self.tenant(tenant).installs.pop(install, None)

    def delete_expired(self) -> None:
        for kept in self._tenants.values():
            kept.delete_old_consents(self._now())

    # Webhooks.

    def knows_webhook(self, *, tenant: str, webhook: str) -> bool:
        return webhook in self.tenant(tenant).webhooks

    def remember_webhook(self, *, tenant: str, webhook: str) -> None:
        webhooks, now = self.tenant(tenant).webhooks, self._now()
        for old in [known for known, at in webhooks.items() if now - at > WEBHOOK_SECONDS]:
            del webhooks[old]
        webhooks.setdefault(webhook, now)

    # Keys.

    def tenant_keys(self, *, tenant: str) -> list[DataKey]:
        return self.tenant(tenant).keys

    def add_key(self, *, tenant: str, newest: str | None, key: DataKey) -> bool:
        keys = self.tenant(tenant).keys
        listed = [known["id"] for known in keys]
        if (listed[-1] if listed else None) != newest or key["id"] in listed:
            return False
        keys.append(key)
        return True

    def rewrap_key(self, *, tenant: str, key: DataKey, next: WrappedKey | None) -> bool:
        keys = self.tenant(tenant).keys
        if key["wrapped"] is None or key not in keys:
            return False
        keys[keys.index(key)] = {"id": key["id"], "wrapped": next}
        return True

    def remove_key(self, *, tenant: str, key: str) -> bool:
        kept = self.tenant(tenant)
        if any(record["sealed"]["key"] == key for record in kept.sealed()):
            return False
        count = len(kept.keys)
        kept.keys = [known for known in kept.keys if known["id"] != key]
        return len(kept.keys) < count

    def key_uses(self, *, after: KeyName | None, limit: int) -> list[KeyUse]:
        uses: list[KeyUse] = [
            {
                "tenant": tenant,
                "key": key,
                "records": sum(record["sealed"]["key"] == key["id"] for record in kept.sealed()),
            }
            for tenant, kept in self._tenants.items()
            for key in kept.keys
        ]
        behind = after and (after["tenant"], after["key"])
        return page(uses, lambda use: (use["tenant"], use["key"]["id"]), behind, limit)

    def sealed_under(self, *, tenant: str, key: str, after: SealedName | None, limit: int) -> list[SealedRecord]:
        records = [record for record in self.tenant(tenant).sealed() if record["sealed"]["key"] == key]
        return page(records, sealed_order, after and sealed_order(after), limit)

    def reseal(
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
        kept, key = self.tenant(tenant), (customer, account)
        kept.check_key(next)
        if record(key, purpose, revision, sealed) not in kept.sealed():
            return False
        if purpose == "token":
            kept.tokens[key].token = {**kept.tokens[key].token, "value": next}
        else:
            kept.rows[key] = {**kept.rows[key], "sealed": next}
        return True

    def delete_tenant(self, *, tenant: str, limit: int) -> Deleted:
        kept = self.tenant(tenant)
        connections = list(dict.fromkeys([*kept.tokens, *kept.rows]))
        for key in connections[:limit]:
            kept.tokens.pop(key, None)
            kept.rows.pop(key, None)
        others = len(kept.events[:limit])
        del kept.events[:limit]
        for once in list(kept.once)[:limit]:
            kept.once.remove(once)
            others += 1
        maps: tuple[dict[str, Any], ...] = (kept.states, kept.installs, kept.webhooks)
        for entries in maps:
            for entry in list(entries)[:limit]:
                del entries[entry]
                others += 1
        is_complete = len(connections) <= limit and not any((kept.events, kept.once, *maps))
        return {"connections": min(len(connections), limit), "others": others, "is_complete": is_complete}
