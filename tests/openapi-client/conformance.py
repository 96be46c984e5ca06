"""Lets schemathesis draw requests from the document and send them to the service.

    conformance.py VENV    VENV contains schemathesis

The first run draws every part of a request, so most requests name things that do not exist. The second run names a
customer who is connected, with the account and the shop.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from service import DOCUMENT, KEY, Service

# The same seed draws the same requests, so a failure can be repeated.
SEED = "20260101"
EXAMPLES = "40"
CUSTOMER = "customer-7"
# A request can fit the document and be refused nevertheless (422), for example because the customer has no such shop.
CHECKS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422]
# A text that is longer than the document allows can make the body too large: 413.
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""
# The service limits the bytes of an id, and a schema can only limit the characters. In ASCII, both are the same. So only
# the runs with ASCII check which requests the service accepts.
ASCII = ["--generation-codec", "ascii"]
ANY_TEXT = ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]


def run(venv, service, parameters, *options):
    """Runs schemathesis. Returns the number of operations that kept the document, and of failures."""
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "schemathesis.toml"
        named = "".join(f'"{name}" = "{value}"\n' for name, value in parameters.items())
        configuration.write_text(f"{CHECKS}\n[parameters]\n{named}")
        command = [Path(venv).resolve() / "bin/schemathesis", "--config-file", configuration, "run", DOCUMENT]
        done = subprocess.run(
            [
                *command, "--url", service.address, "--header", f"Authorization: Bearer {KEY}", "--no-color",
                "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", EXAMPLES, "--seed", SEED,
                "--generation-database", "none", *options,
            ],
            capture_output=True,
            text=True,
            cwd=folder,
        )
    summary = done.stdout.partition("= SUMMARY =")[2]
    tested = re.search(r"Tested: (\d+)", summary)
    failures = re.search(r"(\d+) unique failure", summary)
    print(" ".join(summary.replace("=", "").split()))
    if done.returncode or not tested:
        print(done.stdout, done.stderr)
        return 0, int(failures[1]) if failures else 1
    return int(tested[1]), 0


def connect(service):
    """Connects the customer. Returns the parameters of its connection."""
    with httpx.Client(base_url=f"{service.address}/v1/customers/{CUSTOMER}") as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        service.consent(client.post("/connect-sessions", json={}).json()["address"], "allow")
        shop = client.get("/shops").json()["shops"][0]
    return {"customer": CUSTOMER, "account": shop["account"], "shop": shop["id"]}


def main():
    with Service() as service:
        drawn = [run(sys.argv[1], service, {}, *ASCII), run(sys.argv[1], service, {}, *ANY_TEXT)]
        named = connect(service)
        # This request would end the connection.
        connected = run(sys.argv[1], service, named, "--exclude-operation-id", "disconnect", *ASCII)
        panics = service.log().count("panicked")
    runs = [*drawn, connected]
    failed = sum(failures for _, failures in runs) + panics
    print(f"schemathesis, operations of the document: {sum(kept for kept, _ in runs)} checks passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
