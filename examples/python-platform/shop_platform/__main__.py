"""Runs the platform against a fake TikTok Shop: `python -m shop_platform [django]`.

Then open the address that it prints.
"""

from __future__ import annotations

import logging
import os
import signal
import sys

import uvicorn

from . import django_app, fastapi_app
from .fake import start_fake
from .platform import open_platform

TENANT = "acme"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    # After the server has ended, uvicorn lets the signal end the process. The fake must end, too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
    port = int(os.environ.get("PORT", "8000"))
    framework = django_app if sys.argv[1:] == ["django"] else fastapi_app
    with start_fake(f"http://127.0.0.1:{port}/callback") as fake:
        # A real platform has `storage="postgres://…"`, a key file, its own app, and no `fake`.
        app = framework.create_app(
            lambda: open_platform(
                tenant=TENANT,
                consent_page=fake.consent_page,
                storage="memory:",
                keys="drawn",
                apps=[fake.app_of(TENANT)],
                fake=fake.url,
            )
        )
        logging.info("open http://127.0.0.1:%d", port)
        # Without `lifespan="on"`, uvicorn serves requests even if the app raises an exception at its start.
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", lifespan="on")


if __name__ == "__main__":
    main()
