"""Tests the package as a user gets it: installs the wheel into an empty virtual environment, and runs the tests there.

python scripts/test.py [OPTIONS OF PYTEST]

Takes the wheel that `maturin build` has made last. Needs the packages of requirements.txt, but only the tests get them.
FAKE_TIKTOK_SHOP names the program of the fake. TIKTOK_SHOP_KEEP_PROJECT=1 keeps the project and prints its folder.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
WORKSPACE = PACKAGE.parent.parent
TARGET = WORKSPACE / os.environ.get("CARGO_TARGET_DIR", "target")


def newest_wheel() -> Path:
    wheels = sorted((TARGET / "wheels").glob("tiktok_shop_connector-*.whl"), key=lambda wheel: wheel.stat().st_mtime)
    return wheels[-1] if wheels else sys.exit(f"{TARGET}/wheels has no wheel: run maturin build")


def make_environment(folder: Path) -> Path:
    """Makes an environment that contains only the wheel. Returns its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    # Without an index, pip fails if the wheel needs another package.
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", newest_wheel())
    # The tools of the tests, behind the packages of the environment.
    site_packages = next(folder.glob("lib/python*/site-packages"))
    (site_packages / "tools.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(*arguments: object) -> None:
    subprocess.run([str(argument) for argument in arguments], check=True)


def main() -> int:
    project = Path(tempfile.mkdtemp(prefix="tiktok-shop-python-")).resolve()
    try:
        python = make_environment(project / "environment")
        shutil.copytree(PACKAGE / "tests", project / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PACKAGE / "pyproject.toml", project)
        environment = {
            "FAKE_TIKTOK_SHOP": str(TARGET / "debug/fake-tiktok-shop"),
            "TIKTOK_SHOP_DOCS": str(WORKSPACE / "docs"),
            # Compiling the component for every host would be most of the time of the tests.
            "TIKTOK_SHOP_TEST_CACHE": str(project / "compiled"),
            "TIKTOK_SHOP_SCENARIO": str(WORKSPACE / "tests/scenario/scenario.json"),
            **os.environ,
        }
        environment.pop("PYTHONPATH", None)
        arguments = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *sys.argv[1:]]
        return subprocess.run(arguments, cwd=project, env=environment, check=False).returncode
    finally:
        if os.environ.get("TIKTOK_SHOP_KEEP_PROJECT"):
            print(project)
        else:
            shutil.rmtree(project)


if __name__ == "__main__":
    sys.exit(main())
