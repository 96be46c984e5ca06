"""The page about the package names what the package has."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
from pathlib import Path
from typing import Final

import pytest

from tiktok_shop_connector import Deadlines, Host, Limits, TikTokShopError

PAGE: Final = (Path(os.environ["TIKTOK_SHOP_DOCS"]) / "python.md").read_text()
BLOCKS: Final = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def section(title: str) -> str:
    """Returns the text below a heading."""
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """Returns the names in the first cells of a table."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_an_example_is_python_and_imports_what_exists(block: str) -> None:
    program = compile(block, "python.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    for node in ast.walk(program):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tiktok_shop_connector"):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, name.name) for name in node.names)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            assert node.func.value.id != "host" or hasattr(Host, node.func.attr), node.func.attr


def test_the_table_of_options_has_all_options_and_no_other() -> None:
    assert first_cells(section("Open a host")) == set(inspect.signature(Host.open).parameters)


def test_the_tables_of_limits_and_deadlines_have_all_members_and_no_other() -> None:
    named = first_cells(section("Limits and deadlines"))
    assert named == {*Limits.__annotations__, *Deadlines.__annotations__}


def test_the_table_of_functions_has_all_functions_and_no_other() -> None:
    named = set(re.findall(r"`(\w+)(?:\(.*?\))?`", section("Make calls").split("```")[0]))
    functions = {name for name, _ in inspect.getmembers(Host, inspect.isfunction) if not name.startswith("_")}
    assert named == (functions | {"with_retries"}) - {"open", "close", "advance_clock"}


def test_the_table_of_errors_has_all_errors_and_no_other() -> None:
    classes = {name for name in first_cells(section("Errors")) if name.endswith("Error")}
    assert classes == {of.__name__ for of in TikTokShopError.__subclasses__()}
