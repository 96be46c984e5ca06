"""Finds the component inside the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "component"
FILE: Final = str(_FOLDER / "tiktok_shop_connector.wasm")
#: The host runs no other component.
SHA256: Final[str] = json.loads((_FOLDER / "component.json").read_text())["sha256"]
