"""A world to run the service in."""

from pathlib import Path

import pytest

from service.core.definitions import load_datasets
from tests.fakes.world import DEFINITION, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One small dataset, `events`, and empty stores; call `open` inside the loop."""
    (tmp_path / "events.toml").write_text(DEFINITION)
    return World(load_datasets(tmp_path))
