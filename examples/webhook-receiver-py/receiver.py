"""Receives the service's webhooks, verifies their signatures, and remembers which it has handled."""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BYTES = 1 << 20  # The service never sends more than about 256 KiB.


class Inbox:
    """Stores each webhook once. A platform uses its own database, and a worker that reads from it."""

    def __init__(self, path):
        self._path = path
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY, body TEXT NOT NULL)")

    def _open(self):
        return sqlite3.connect(self._path)

    def put(self, webhook_id, body):
        """Returns whether the webhook is new."""
        with self._open() as database:
            added = database.execute("INSERT OR IGNORE INTO webhooks VALUES (?, ?)", (webhook_id, body))
            return added.rowcount == 1

    def bodies(self):
        with self._open() as database:
            return [json.loads(body) for (body,) in database.execute("SELECT body FROM webhooks ORDER BY rowid")]


def server(port, secret, inbox, timeout=10):
    """Returns a server on loopback that puts verified webhooks into the inbox."""
    webhook = Webhook(secret)
    seconds = timeout

    class Handler(BaseHTTPRequestHandler):
        # Without a limit, each client that sends only a part of its request would keep a thread.
        timeout = seconds

        def do_POST(self):
            try:
                length = int(self.headers.get("content-length", 0))
            except ValueError:
                return self.answer(400)
            # With a negative length, `read` would read without a limit.
            if not 0 <= length <= MAX_BYTES:
                return self.answer(400)
            # The signature is over these bytes. Do not parse and write them again before.
            body = self.rfile.read(length)
            try:
                webhook.verify(body, dict(self.headers), json_parse=False)
            except (WebhookVerificationError, ValueError):
                return self.answer(400)
            # First store the event, then answer, and work on it later.
            inbox.put(self.headers["webhook-id"], body.decode())
            return self.answer(204)

        def answer(self, status):
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    received = Inbox(sys.argv[1] if len(sys.argv) > 1 else "webhooks.sqlite")
    listening = server(3000, os.environ["WEBHOOK_SECRET"], received)
    print(f"listening on http://127.0.0.1:{listening.server_port}")
    listening.serve_forever()
