"""Runs the platform against a fake TikTok Shop: `python -m shop_platform [django | flask]`.

Then open the address that it prints.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any

import uvicorn

from . import django_app, fastapi_app, flask_app
from .blocking_platform import open_blocking_platform
from .fake import start_fake
from .platform import open_platform

TENANT = "acme"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    # After the server has ended, uvicorn lets the signal end the process. The fake must end, too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
    port = int(os.environ.get("PORT", "8000"))
    with start_fake(f"http://127.0.0.1:{port}/callback") as fake:
        # A real platform has `storage="postgres://…"`, a key file, its own app, and no `fake`.
        options: dict[str, Any] = {
            "tenant": TENANT,
            "consent_page": fake.consent_page,
            "storage": "memory:",
            "keys": "drawn",
            "apps": [fake.app_of(TENANT)],
            "fake": fake.url,
        }
        logging.info("open http://127.0.0.1:%d", port)
        if sys.argv[1:] == ["flask"]:
            with open_blocking_platform(**options) as platform:
                flask_app.server_of(platform, port).serve_forever()
            return
        framework = django_app if sys.argv[1:] == ["django"] else fastapi_app
        app = framework.create_app(lambda: open_platform(**options))
        # Without `lifespan="on"`, uvicorn serves requests even if the app raises an exception at its start.
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", lifespan="on")


if __name__ == "__main__":
    main()
