"""The types of the installed package fit a platform that is checked with `mypy --strict`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TYPING = Path(__file__).parent / "typing"


def mypy(file: Path, folder: Path) -> str:
    """Checks a file outside this project, so that mypy sees the installed package alone."""
    arguments = ["--strict", "--config-file", os.devnull, "--cache-dir", str(folder), str(file)]
    checked = subprocess.run([sys.executable, "-m", "mypy", *arguments], cwd=folder, capture_output=True, text=True)
    return checked.stdout + checked.stderr


@pytest.mark.parametrize("usage", ["usage.py", "blocking_usage.py"])
def test_a_platform_passes_the_strict_check(tmp_path: Path, usage: str) -> None:
    assert mypy(TYPING / usage, tmp_path).startswith("Success")


@pytest.mark.parametrize("mistaken", ["mistakes.py", "blocking_mistakes.py"])
def test_each_mistake_is_found(tmp_path: Path, mistaken: str) -> None:
    lines = (TYPING / mistaken).read_text().splitlines()
    mistakes = {number for number, line in enumerate(lines, 1) if line.endswith("# mistake")}
    found = {int(number) for number in re.findall(r"^\S+:(\d+): error:", mypy(TYPING / mistaken, tmp_path), re.M)}
    assert found == mistakes
