"""Plays the whole life of a connection with a client that an independent generator has made from the document.

    scenario.py VENV    VENV contains openapi-python-client

The generated client sends every request to the API. Only the seller's browser is played with httpx.
"""

import importlib
import json
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from service import DOCUMENT, KEY, Service

CUSTOMER = "customer-7"
WEEK = 7 * 86_400


def generate(venv, folder):
    """Generates the client as the package `generated`. A warning about the document ends the run."""
    package = Path(folder) / "generated"
    command = [Path(venv) / "bin/openapi-python-client", "generate", "--path", DOCUMENT, "--meta", "none"]
    done = subprocess.run(
        [*command, "--output-path", package, "--fail-on-warning", "--config", Path(__file__).with_name("generator.yml")],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    sys.path.insert(0, folder)


class Scenario:
    def __init__(self, service):
        self.service, self.passed, self.failed = service, 0, 0
        client = importlib.import_module("generated").AuthenticatedClient
        self.client = client(base_url=service.address, token=KEY, raise_on_unexpected_status=True)
        self.models = importlib.import_module("generated.models")

    def check(self, what, found, expected=True):
        """Counts a check, and prints it if it failed."""
        if found == expected:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}: {found!r} instead of {expected!r}")

    def ask(self, operation, *path, **arguments):
        """Sends a request with the generated function of this operation. Returns its status and its parsed answer."""
        function = importlib.import_module(f"generated.api.{operation}")
        answer = function.sync_detailed(*path, client=self.client, **arguments)
        return answer.status_code.value, answer.parsed

    def problem(self, what, asked, status, action, code):
        found, problem = asked
        self.check(what, (found, problem.action, problem.code), (status, action, code))
        return problem

    def connect(self, decision="allow"):
        new = self.models.SessionRequest(return_to=f"{self.service.address}/healthz")
        status, session = self.ask("connecting.begin_connect_session", CUSTOMER, body=new)
        self.check("a session begins", status, 201)
        page = self.service.consent(session.address, decision)
        _, state = self.ask("connecting.show_connect_session", CUSTOMER, session.id)
        return page, state.state

    def run(self):
        models, fake = self.models, self.service.control

        # The seller refuses, and then allows.
        page, state = self.connect("refuse")
        self.check("a refusal is shown", ("Not connected" in page, state), (True, "refused"))
        page, state = self.connect()
        self.check("the consent is shown", ("Connected" in page, state), (True, "connected"))
        status, listed = self.ask("connections.list_customer_connections", CUSTOMER)
        self.check("the customer has a connection", (status, len(listed.connections)), (200, 1))
        account = listed.connections[0].account
        status, shown = self.ask("connections.show_connection", CUSTOMER, account)
        self.check("the connection works", (status, shown.status, shown.reason), (200, "active", None))
        status, page = self.ask("connections.list_connections", status=models.ListConnectionsStatus.ACTIVE, limit=1)
        self.check("the tenant's list has a cursor", (status, bool(page.next_cursor)), (200, True))
        status, page = self.ask("connections.list_connections", cursor=page.next_cursor)
        self.check("the cursor leads to the end", (status, page.connections, page.next_cursor), (200, [], None))
        status, apps = self.ask("connecting.list_apps")
        self.check("the tenant has an app", (status, [app.key for app in apps.apps]), (200, ["6fakeapp00001"]))

        # Shops, links and signed calls.
        status, shops = self.ask("connections.list_shops", CUSTOMER)
        shop = shops.shops[0].id
        self.check("the shop can be used", (status, shops.shops[0].usable), (200, True))
        search = models.SignedCall(
            shop=shop,
            method=models.CallMethod.POST,
            path="/order/202309/orders/search",
            query=models.SignedCallQuery.from_dict({"page_size": "1"}),
            json=models.SignedCallJsonType0(),
        )
        key = str(uuid.uuid4())
        status, answer = self.ask("signed_calls.call", CUSTOMER, body=search, idempotency_key=key)
        self.check("TikTok Shop answers", (status, answer.status, answer.code), (200, 200, "0"))
        _, again = self.ask("signed_calls.call", CUSTOMER, body=search, idempotency_key=key)
        self.check("a repeated request is not sent again", again.request_id, answer.request_id)
        read = models.SignedCall(account=account, method=models.CallMethod.GET, path="/authorization/202309/shops")
        asked = self.ask("signed_calls.call", CUSTOMER, body=read, idempotency_key=key)
        self.problem("a key belongs to one request", asked, 422, "invalid-request", "idempotency-key-reused")
        status, answer = self.ask("signed_calls.call", CUSTOMER, body=read)
        self.check("a call for an account", (status, answer.json["data"]["shops"][0]["id"]), (200, shop))
        link = "connections.link_shops"
        status, linked = self.ask(link, CUSTOMER, account, body=models.LinkShops(shops=[]))
        self.check("the shop is unlinked", (status, linked.shops[0].linked), (200, False))
        asked = self.ask("signed_calls.call", CUSTOMER, body=search)
        self.problem("an unlinked shop can't be used", asked, 422, "invalid-request", "shop-not-linked")
        status, linked = self.ask(link, CUSTOMER, account, body=models.LinkShops(shops=[shop]))
        self.check("the shop is linked again", (status, linked.shops[0].linked), (200, True))

        # The access token ends, and a refresh renews it.
        fake("/clock/advance", {"seconds": WEEK + 86_400})
        refresh, when_due = "connections.refresh_connection", models.Refresh(mode=models.RefreshWhen.WHEN_DUE)
        status, refreshed = self.ask(refresh, CUSTOMER, account, body=when_due)
        self.check("the tokens are renewed", (status, refreshed.effect, refreshed.nothing_sent), (200, "renewed", None))
        status, token = self.ask("tokens.get_access_token", CUSTOMER, account, body=models.TokenRequest())
        self.check("a token is shown", (status, bool(token.token), token.account), (200, True, account))

        # The seller removes the app. TikTok Shop's webhook says so, and a refresh finds out.
        fake("/sellers/one-shop/deauthorize", {"service_id": "7480000000000000001"})
        receiver = self.service.address.removeprefix("http://")
        fake("/webhooks/send", {"to": receiver, "path": "/webhooks/default"})
        asked = self.ask(refresh, CUSTOMER, account, body=when_due)
        self.problem("the seller must consent again", asked, 409, "reauthorize", "authorization-revoked")
        _, shown = self.ask("connections.show_connection", CUSTOMER, account)
        self.check("the connection is dead", shown.status, "reauthorization-required")
        page, state = self.connect()
        _, shown = self.ask("connections.show_connection", CUSTOMER, account)
        self.check("a new consent revives it", (state, shown.status), ("connected", "active"))

        # Another installation takes the connection over, and the customer disconnects.
        status, exported = self.ask("tokens.export_grant", CUSTOMER, account)
        self.check("the tokens are exported", (status, exported.account), (200, account))
        shared = models.RevocationTarget(account=account)
        status, others = self.ask("connecting.list_shared_connections", CUSTOMER, body=shared)
        self.check("no other customer loses a shop", (status, others.connections), (200, []))
        keep = models.Disconnect(tiktok_access=models.TikTokAccess.KEEP)
        status, ended = self.ask("connecting.disconnect", CUSTOMER, body=keep)
        self.check("the customer is disconnected", (status, ended.found[0].account), (200, account))
        _, ended = self.ask("connecting.disconnect", CUSTOMER, body=keep)
        self.check("there is nothing left to disconnect", ended.found, [])
        asked = self.ask("connections.show_connection", CUSTOMER, account)
        self.problem("the connection is gone", asked, 404, "invalid-request", "not-connected")
        tokens = models.ImportRequest.from_dict(exported.to_dict())
        status, imported = self.ask("connecting.import_grant", "customer-8", body=tokens)
        self.check("the tokens are imported", (status, imported.account), (201, account))
        asked = self.ask("connecting.import_grant", "customer-8", body=tokens)
        self.problem("an import is not repeated", asked, 422, "invalid-request", "already-connected")

        # A seller installs the app in TikTok's App Store.
        app = {"service_id": "7480000000000000001", "seller": "one-shop", "decision": "allow"}
        query = json.loads(fake("/consent", app))["callback_query"]
        led = httpx.get(f"{self.service.address}/callback?{query}").headers["location"]
        session = str(uuid.uuid4())
        new = models.InstallRequest(query=urlsplit(led).query, browser_session=session)
        status, install = self.ask("connecting.begin_install", "customer-9", body=new)
        self.check("the install is shown", (status, [shop.id for shop in install.shops]), (200, [shop]))
        other = models.Confirmation(browser_session=str(uuid.uuid4()))
        asked = self.ask("connecting.confirm_install", "customer-9", install.id, body=other)
        self.problem("another session confirms nothing", asked, 403, "invalid-request", "other-browser")
        own = models.Confirmation(browser_session=session, shop_policy=models.ShopPolicy.EXACTLY_ONE)
        status, connected = self.ask("connecting.confirm_install", "customer-9", install.id, body=own)
        self.check("the install is confirmed", (status, connected.customer), (200, "customer-9"))
        gone = models.Cancellation(browser_session=session)
        asked = self.ask("connecting.cancel_install", "customer-9", install.id, body=gone)
        self.problem("it can't be cancelled any more", asked, 422, "invalid-request", "install-confirmed")

        # The events tell what has happened.
        kinds, cursor = [], None
        while True:
            arguments = {"limit": 3} if cursor is None else {"limit": 3, "cursor": cursor}
            status, page = self.ask("events.list_events", **arguments)
            if not page.events:
                break
            kinds += [event.event for event in page.events]
            cursor = page.next_cursor
        wanted = ["connected", "token-shown", "reauthorization-required", "recovered", "grant-exported", "disconnected"]
        self.check("the events are in order", [kind for kind in dict.fromkeys(kinds) if kind in wanted], wanted)

        # Errors of the service itself.
        client = importlib.import_module("generated").AuthenticatedClient
        stranger = importlib.import_module("generated.api.events.list_events")
        answer = stranger.sync_detailed(client=client(base_url=self.service.address, token="unknown"))
        self.check("a stranger is refused", (answer.status_code, answer.parsed.code), (401, "unauthenticated"))
        asked = self.ask("connections.list_connections", limit=0)
        problem = self.problem("a mistake is named", asked, 400, "invalid-request", "invalid-parameter")
        self.check("a problem has a detail", bool(problem.detail))
        self.check("the process is healthy", self.ask("operations.health")[1].status, "ok")
        self.check("the process is ready", self.ask("operations.ready")[1].status, "ready")


def main():
    with tempfile.TemporaryDirectory() as folder, Service() as service:
        generate(sys.argv[1], folder)
        scenario = Scenario(service)
        scenario.run()
        scenario.check("the log contains no API key", KEY in service.log(), False)
        print(f"generated client: {scenario.passed} checks passed, {scenario.failed} failed")
        sys.exit(1 if scenario.failed else 0)


main()
