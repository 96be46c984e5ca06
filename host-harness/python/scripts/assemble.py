"""Puts the component and the licence into the package, where `maturin build` finds them.

python scripts/assemble.py

Takes the component of `cargo xtask dist`.
"""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
WORKSPACE = PACKAGE.parent.parent
TARGET = WORKSPACE / os.environ.get("CARGO_TARGET_DIR", "target")

component = TARGET / "dist/tiktok_shop_connector.wasm"
if not component.exists():
    sys.exit(f"{component} is missing: run cargo xtask dist")

folder = PACKAGE / "python/tiktok_shop_connector/component"
folder.mkdir(exist_ok=True)
shutil.copyfile(component, folder / component.name)
sha256 = hashlib.sha256(component.read_bytes()).hexdigest()
(folder / "component.json").write_text(json.dumps({"sha256": sha256}) + "\n")
shutil.copyfile(WORKSPACE / "LICENSE", PACKAGE / "LICENSE")
