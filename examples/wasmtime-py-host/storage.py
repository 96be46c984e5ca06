"""The interface `storage` of `wit/storage.wit`, in SQLite. A production host encrypts `secrets`. This one does not."""

import json
import sqlite3
from secrets import token_hex

from values import Variant, record

SCHEMA = """
create table if not exists entries (
    kind text, customer text, account text, revision text not null, written_ms integer not null,
    document text not null, secrets blob not null, refresh_due_at integer, shops text not null,
    primary key (kind, customer, account)) strict;
"""
ENTRY = "account, revision, document, secrets, now_ms() - written_ms as age_ms"


class Storage:
    """`now` returns the time in seconds. It should be the clock of the database, because several hosts share it."""

    def __init__(self, path, now):
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.row_factory = lambda cursor, row: record(**sqlite3.Row(cursor, row))
        self._database.create_function("now_ms", 0, lambda: int(now() * 1000))
        self._database.executescript(SCHEMA)

    def accounts(self, customer):
        query = "select account from entries where kind = 'tokens' and customer = ? order by account"
        return [token.account for token in self._database.execute(query, [customer])]

    def list(self, customer):
        query = f"select {ENTRY} from entries where kind = 'rows' and customer = ? order by account"
        return [record(account=row.account, entry=row) for row in self._database.execute(query, [customer])]

    def load(self, table, key):
        query = f"select {ENTRY} from entries where (kind, customer, account) = (?, ?, ?)"
        return record(entry=self._database.execute(query, [table, key.customer, key.account]).fetchone())

    def swap(self, table, key, expected, write):
        """Compare-and-swap: writes only if the stored revision is the expected one."""
        place = [table, key.customer, key.account]
        with self._database:
            self._database.execute("begin immediate")
            stored = self.load(table, key).entry
            if (stored and stored.revision) != expected:
                return record(outcome=Variant("stale", stored))
            if write is None:
                self._database.execute("delete from entries where (kind, customer, account) = (?, ?, ?)", place)
                return record(outcome=Variant("deleted"))
            revision, shops = token_hex(16), json.dumps([shop.id for shop in write.index.shops])
            values = [*place, revision, write.document, write.secrets, getattr(write.index, "refresh-due-at"), shops]
            self._database.execute("replace into entries values (?, ?, ?, ?, now_ms(), ?, ?, ?, ?)", values)
            return record(outcome=Variant("stored", revision))

    def owners(self, shop):
        query = "select customer, account from entries, json_each(shops) where kind = 'rows' and value = ?"
        return self._database.execute(query, [shop]).fetchall()
