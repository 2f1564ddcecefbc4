"""The service as it is installed in the image: without the packages of the one-machine stack."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import LOCAL_EXTRA

PROJECT = Path(__file__).resolve().parents[2]
TOLD = """
import sys
sys.modules.update(dict.fromkeys({missing}))
from service.cli import commands
print(*(c.name or c.callback.__name__ for c in commands.registered_commands))
print(*(m for m in sys.modules if m.startswith("service.local")))
"""


def told(missing: tuple[str, ...]) -> list[list[str]]:
    """The verbs, and what of the local stack was imported for them."""
    program = [sys.executable, "-c", TOLD.format(missing=missing)]
    said = subprocess.run(program, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [line.split() for line in said.stdout.splitlines()]


@pytest.mark.parametrize("missing", [*[(name,) for name in LOCAL_EXTRA], LOCAL_EXTRA])
def test_the_service_needs_nothing_of_the_stack(missing: tuple[str, ...]) -> None:
    verbs, imported = told(missing)
    assert set(verbs) >= {"run", "migrate", "replay", "reconcile"}
    assert not {"local", "redshift"} & set(verbs)
    assert imported == []


def test_where_the_packages_are_the_stack_is() -> None:
    verbs, _ = told(())
    assert {"local", "redshift"} <= set(verbs)
