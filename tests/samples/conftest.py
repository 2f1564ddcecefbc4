"""One run of samples for all tests here, and the dataset definitions they are held against."""

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.local.samples.onboarding import Sample, onboarding_samples

REPOSITORY = Path(__file__).resolve().parents[2]
START = datetime(2024, 3, 4, 6, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def start() -> datetime:
    return START


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    return list(onboarding_samples(count=20_000, seed=7, start=START))


@pytest.fixture(scope="session")
def definition() -> Callable[[str], dict[str, Any]]:
    """Reads a dataset's definition by its name."""
    return lambda name: tomllib.loads((REPOSITORY / "datasets" / f"{name}.toml").read_text("utf-8"))
