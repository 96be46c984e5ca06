"""Runs the scenario file (`tests/scenario`) on this host against the fake TikTok Shop."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from egress import Egress
from host import ConnectorError, Host
from storage import Storage
from values import Variant, record
from wasi import Clock

ROOT = Path(__file__).resolve().parents[2]
STATE = "st-8kQ2vXw0Zr5LmN7pTfBh3A"
NOWHERE = ("127.0.0.1", 9)  # no server listens on the port of the discard protocol


class Fake:
    """A fake TikTok Shop in a process of its own."""

    def __init__(self, program):
        self._process = subprocess.Popen([program, "--json"], stdout=subprocess.PIPE, text=True)
        announced = json.loads(self._process.stdout.readline())
        self.address = announced["address"]
        self.app = announced["apps"][0]

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"http://{self.address}/_control{path}", data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()


class TroubledStorage:
    """A storage with the races and failures of a scenario."""

    def __init__(self, storage, stage):
        self._storage, self._stage = storage, stage

    def __getattr__(self, function):
        def run(*arguments):
            self._stage.before(f"{function}({arguments[0]})" if function in ("load", "swap") else function)
            result = getattr(self._storage, function)(*arguments)
            if function == "list" and not self._stage.ciphers_readable:
                for row in result:
                    row.entry.secrets = b""
            return result

        return run


class Stage:
    """One scenario: a fresh fake, an empty storage and a host."""

    def __init__(self, fake, component, settings):
        host, port = fake.address.split(":")
        self.fake, self.clock = fake, Clock()
        self.ciphers_readable = True
        self.address = (host, int(port))
        self.egress = Egress(self.address, request_seconds=settings.get("request-deadline-ms", 25_000) / 1000)
        app = {name: fake.app[name] for name in ("app_key", "app_secret", "authorization_link")}
        apps = {app["app_key"]: {**app, "previous_app_secret": None, "allow_http_link": False}}
        storage = TroubledStorage(Storage(":memory:", self.clock.now), self)
        self.host = Host(component, storage, apps, self.egress, self.clock)
        self.callback, self.throws, self.race, self.mismatch = "", None, {}, None

    def before(self, function):
        """Runs before each function of the storage."""
        for step in self.race.pop(function, []):
            try:
                self.step(step)
            except AssertionError as mismatch:
                self.mismatch = mismatch  # the host takes every exception here for a failure of the storage
        if not self.throws or self.throws["function"] != function:
            return
        if self.throws["after"] > 0:
            self.throws["after"] -= 1
        elif self.throws["times"] != 0:
            self.throws["times"] = self.throws["times"] and self.throws["times"] - 1
            raise RuntimeError("the scenario lets the storage throw")

    def step(self, step):
        match step:
            case {"call": export, "with": arguments, "expect": expected}:
                actual = self.outcome(export, arguments)
                assert self.mismatch is None, f"in the race: {self.mismatch}"
                assert matches(expected, actual), f"{export}\n  expected {expected}\n  but was  {actual}"
            case {"consent": consent}:
                body = {"service_id": self.fake.app["service_id"], "state": STATE, **consent}
                self.callback = self.fake.ask("POST", "/consent", body)["callback_query"]
            case {"advance": seconds}:
                self.fake.ask("POST", "/clock/advance", {"seconds": seconds})
                self.clock.ahead += seconds
            case {"fault": fault}:
                self.fake.ask("POST", "/faults", fault)
            case {"switches": switches}:
                self.fake.ask("PATCH", "/switches", switches)
            case {"seller": seller, "does": does}:
                self.fake.ask("POST", f"/sellers/{seller}/{does}", {"service_id": self.fake.app["service_id"]})
            case {"requests": expected}:
                actual = {}
                for request in self.fake.ask("GET", "/requests"):
                    actual[request["path"]] = actual.get(request["path"], 0) + 1
                self.fake.ask("DELETE", "/requests")
                assert actual == expected, f"requests\n  expected {expected}\n  but were {actual}"
            case {"storage-throws": throws}:
                self.throws = throws and dict(throws)
            case {"race": {"before": function, "steps": steps}}:
                self.race[function] = steps
            case {"upstream": state}:
                self.egress.stand_in = self.address if state == "up" else NOWHERE
            case {"ciphers": state}:
                self.ciphers_readable = state == "readable"
            case _:
                raise AssertionError(f"unknown step {step}")

    def outcome(self, export, arguments):
        try:
            return {"ok": getattr(self, export.replace("-", "_"))(**arguments)}
        except ConnectorError as error:
            return {"error": error.action, "code": error.failure.code}

    def connect(self, customer, shops, state=STATE):
        grant = Variant("callback", record(query=self.callback, state=state))
        return connection(self.host.call("connect", customer, None, grant, shops))

    def refresh(self, customer, rotation):
        refreshed = self.host.call("refresh", customer, None, rotation)
        return {"effect": refreshed.effect.tag, "connection": connection(refreshed.connection)}

    def list_shops(self, customer):
        return [shop.id for shop in self.host.call("list-shops", customer)]

    def list_connections(self, customer):
        return [connection(one) for one in self.host.call("list-connections", customer)]

    def call(self, customer, shop, method, path, query, body):
        request = record(
            scope=Variant("shop", shop),
            method=method,
            path=path,
            query=[tuple(pair) for pair in query],
            content_type=None,
            body=body.encode(),
            max_response_bytes=1_000_000,
        )
        answer = self.host.call("call", customer, request)
        return {"http-status": getattr(answer, "http-status"), "code": answer.code}

    def disconnect(self, customer, target, remote):
        assert target == "all"
        result = self.host.call("disconnect", customer, Variant("all", None), remote)
        remaining = [connection(one) for one in result.remaining]
        return {"remaining": remaining, "not-revoked": [one.shop for one in getattr(result, "not-revoked")]}

    def receive_webhook(self, body):
        due = self.fake.ask("GET", "/webhooks")[0]
        signature = next(value for name, value in due["headers"] if name.lower() == "authorization")
        sent = due["body"].encode() + (b" " if body == "tampered" else b"")
        webhook = self.host.call("receive-webhook", None, signature, sent)
        self.fake.ask("POST", f"/webhooks/{due['number']}/answer", {"status": 200})
        owners = [{"customer": owner.key.customer, "may-use": getattr(owner, "may-use")} for owner in webhook.owners]
        event = getattr(webhook, "event-type")
        return {"event-type": event, "shop": webhook.shop, "effect": webhook.effect, "owners": owners}


def matches(expected, actual):
    """An object matches if its members match those of the same name. Everything else must be equal."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(name in actual and matches(value, actual[name]) for name, value in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(matches, expected, actual))
    return expected == actual


def connection(one):
    """What the scenario file says about a connection."""
    # wasmtime-py gives the case of this variant without its name: see docs/hosts.md.
    status = {type(None): "active", int: "authorization-ending", str: "reauthorization-required"}[type(one.status)]
    failure = getattr(one, "last-failure")
    return {
        "customer": one.key.customer,
        "seller": getattr(one, "seller-name"),
        "status": status,
        "shops": [
            {"id": shop.id, "standing": shop.standing, "linked": shop.linked, "cipher": shop.cipher is not None}
            for shop in one.shops
        ],
        "last-failure": failure and failure.failure.code,
    }


def main():
    component = Path(os.environ.get("TIKTOK_SHOP_COMPONENT", ROOT / "target/dist/tiktok_shop_connector.wasm"))
    program = Path(os.environ.get("FAKE_TIKTOK_SHOP", ROOT / "target/debug/fake-tiktok-shop"))
    for file in (component, program):
        if not file.exists():
            sys.exit(f"{file} is missing: run `cargo xtask dist && cargo build --bin fake-tiktok-shop`")
    scenarios = json.loads((ROOT / "tests/scenario/scenario.json").read_text())["scenarios"]
    failed = 0
    for scenario in scenarios:
        at = None
        try:
            with Fake(program) as fake:
                stage = Stage(fake, str(component), scenario.get("host", {}))
                for at, step in enumerate(scenario["steps"], 1):
                    stage.step(step)
            print(f"ok      {scenario['name']}")
        except Exception as error:
            failed += 1
            print(f"FAILED  {scenario['name']}\n  step {at}: {type(error).__name__}: {error}")
    print(f"wasmtime-py host: {len(scenarios) - failed} scenarios passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
