"""The component's storage in SQLite: `token-storage` and `connection-storage` of `wit/storage.wit`.

A production host encrypts `value` and `secrets` before it stores them. This example does not.
"""

import json
import secrets
import sqlite3

from values import Variant, record

TABLES = """
create table if not exists tokens (
    customer text, account text, revision text not null, written_at real not null, value blob not null,
    refresh_due_at integer, primary key (customer, account)) strict;
create table if not exists connections (
    customer text, account text, revision text not null, document text not null, secrets blob not null,
    shops text not null, primary key (customer, account)) strict;
"""


class Storage:
    """`now` returns the time in seconds. It should be the clock of the database, because several hosts share it."""

    def __init__(self, path, now):
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.executescript(TABLES)
        self._now = now
        self.secrets_readable = True  # a test sets this to false, as if the key service did not answer

    def imports(self):
        return {
            "token-storage": {"accounts": self._accounts, "load": self._load_token, "swap": self._swap_token},
            "connection-storage": {
                "list": self._list,
                "load": self._load_row,
                "swap": self._swap_row,
                "owners": self._owners,
            },
        }

    def _accounts(self, customer):
        rows = self._database.execute("select account from tokens where customer = ? order by account", [customer])
        return [row["account"] for row in rows]

    def _load_token(self, key):
        return record(entry=self._token(self._stored("tokens", key)))

    def _swap_token(self, key, expected, write):
        due = write and getattr(write, "refresh-due-at")
        columns = write and {"value": write.value, "refresh_due_at": due, "written_at": self._now()}
        return self._swap("tokens", key, expected, columns, self._token)

    def _token(self, row):
        age = row and int((self._now() - row["written_at"]) * 1000)
        return row and record(revision=row["revision"], value=row["value"], age_ms=min(max(age, 0), 0xFFFFFFFF))

    def _list(self, customer):
        rows = self._database.execute("select * from connections where customer = ? order by account", [customer])
        return [record(account=row["account"], entry=self._row(row)) for row in rows]

    def _load_row(self, key):
        return record(entry=self._row(self._stored("connections", key)))

    def _swap_row(self, key, expected, write):
        shops = write and json.dumps([shop.id for shop in write.index.shops])
        columns = write and {"document": write.document, "secrets": write.secrets, "shops": shops}
        return self._swap("connections", key, expected, columns, self._row)

    def _row(self, row):
        readable = row and (row["secrets"] if self.secrets_readable else b"")
        return row and record(revision=row["revision"], document=row["document"], secrets=readable)

    def _owners(self, shop):
        query = "select * from connections where exists (select 1 from json_each(shops) where value = ?)"
        rows = self._database.execute(query, [shop])
        return [record(customer=row["customer"], account=row["account"]) for row in rows]

    def _stored(self, table, key):
        query = f"select * from {table} where customer = ? and account = ?"
        return self._database.execute(query, [key.customer, key.account]).fetchone()

    def _swap(self, table, key, expected, columns, entry):
        """Compare-and-swap: writes only if the stored revision is the expected one."""
        self._database.execute("begin immediate")
        with self._database:
            stored = self._stored(table, key)
            if (stored and stored["revision"]) != expected:
                return record(outcome=Variant("stale", entry(stored)))
            which = [key.customer, key.account]
            self._database.execute(f"delete from {table} where customer = ? and account = ?", which)
            if columns is None:
                return record(outcome=Variant("deleted"))
            columns |= {"customer": key.customer, "account": key.account, "revision": secrets.token_hex(16)}
            names, places = ", ".join(columns), ", ".join("?" for _ in columns)
            self._database.execute(f"insert into {table} ({names}) values ({places})", list(columns.values()))
            return record(outcome=Variant("stored", columns["revision"]))
