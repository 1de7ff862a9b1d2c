"""docs/security.rst and docs/faults.rst forget nothing, and name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from test_parity import read_tables

ROOT = Path(__file__).parent.parent
THREATS = 33
"""How many there are; their numbers are what else speaks of them."""
NAMED = re.compile(r"``(tests/[\w/]+\.py)::(\w+)``")


def rows_of(page: str) -> list[list[str]]:
    """Give the rows of all of a page's tables."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [row for rows in read_tables(text).values() for row in rows]


def named_in(path: str) -> set[str]:
    """Find the tests that a file defines: functions, and hypothesis's machines."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.add(node.targets[0].id)
    return {name for name in found if re.match("test_|Test", name)}


def missing_tests(cell: str) -> list[str]:
    """Tell what in a table's last cell names no test: all of it is to."""
    rest = NAMED.sub("", cell).split()
    unknown = [
        f"{path}::{name}"
        for path, name in NAMED.findall(cell)
        if not (ROOT / path).is_file() or name not in named_in(path)
    ]
    return rest + unknown if NAMED.search(cell) else ["there is none"]


def test_no_threat_is_left_out():
    """Numbered from 1, in this order."""
    numbers = [row[0] for row in rows_of("security.rst")]
    assert numbers == [str(number) for number in range(1, THREATS + 1)]


@pytest.mark.parametrize("row", rows_of("security.rst"), ids=lambda row: row[0])
def test_a_threat_has_a_defence_and_tests(row):
    """In words, and by names of tests that exist."""
    _, threat, defence, tests = row
    assert len(threat) > 20
    assert len(defence) > 20
    assert missing_tests(tests) == []


@pytest.mark.parametrize("row", rows_of("faults.rst"), ids=lambda row: row[0])
def test_a_fault_has_its_consequences_and_a_test(row):
    """What is seen, what is logged, and who has tried it."""
    _, seen, logged, tests = row
    assert len(seen) > 20
    assert logged
    assert missing_tests(tests) == []


def test_every_fault_test_stands_in_the_table():
    """What is tried is told."""
    cells = " ".join(row[-1] for row in rows_of("faults.rst"))
    tried = {
        (path, name)
        for file in (ROOT / "tests" / "faults").glob("test_*.py")
        for path in [file.relative_to(ROOT).as_posix()]
        for name in named_in(path)
    }
    assert tried
    assert tried <= set(NAMED.findall(cells))


@pytest.mark.parametrize(
    ("cell", "missing"),
    [
        ("", ["there is none"]),
        ("soon", ["there is none"]),
        ("``tests/test_no.py::test_x``", ["tests/test_no.py::test_x"]),
        (
            "``tests/policy/test_cors.py::test_x``",
            ["tests/policy/test_cors.py::test_x"],
        ),
        ("``tests/policy/test_cors.py::test_refused`` and more", ["and", "more"]),
        ("``tests/policy/test_cors.py::test_refused``", []),
        ("``tests/session/test_upgrade_machine.py::TestUpgrades``", []),
    ],
)
def test_a_name_that_names_no_test_is_seen(cell, missing):
    """Else the tables could say anything."""
    assert missing_tests(cell) == missing


def test_security_md_leads_to_the_table():
    """Whoever looks for it at the usual place finds the rest."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w/.]+)\)", text)
    assert {"docs/security.rst", "docs/faults.rst"} <= set(linked)
    assert all((ROOT / each).exists() for each in linked)
