"""The table of scenarios is whole, and names tests that there are."""

import ast
from pathlib import Path

from tests.faults.table import SCENARIOS, markdown

HERE = Path(__file__).parent
OF_THE_TOOLS = {"test_table.py", "test_checker.py"}
HELD_HERE = {*map(str, range(1, 13)), "14", *map(str, range(17, 24)), "25", "27", "28", "29", "31", "32", "33"}


def test_each_scenario_test_is_in_the_table_and_each_row_names_tests_that_exist() -> None:
    written = {
        f"{path.name}::{node.name}"
        for path in HERE.glob("test_*.py")
        if path.name not in OF_THE_TOOLS
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    assert {name for one in SCENARIOS for name in one.tests} == written


def test_no_scenario_is_missing() -> None:
    assert {one.number.split(" ")[0] for one in SCENARIOS} >= HELD_HERE


def test_the_table_is_one_line_a_scenario() -> None:
    lines = markdown().splitlines()
    assert len(lines) == len(SCENARIOS) + 2
    assert {line.count(" | ") for line in lines} == {4}
