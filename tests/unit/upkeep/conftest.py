"""A world to run commands in."""

from pathlib import Path

import pytest

from tests.fakes.world import DEFINITION, World
from tests.unit.upkeep.bed import definition


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One small dataset, `events`, and empty stores; call `open` inside the loop."""
    return World(definition(tmp_path, DEFINITION))
