"""A quarantine layer on fakes, that knows one dataset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.core.datasets import Dataset
from service.core.definitions import load_dataset
from tests.unit.quarantine.bench import DEFINITION, Bench


@pytest.fixture(scope="session")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path: Path = tmp_path_factory.mktemp("datasets") / "loans.toml"
    path.write_text(DEFINITION, encoding="utf-8")
    return load_dataset(path)


@pytest.fixture
def bench(loans: Dataset) -> Callable[..., Bench]:
    """A layer that knows the dataset `loans`; call it inside a running loop."""

    def make(**changed: Any) -> Bench:
        return Bench({"loans": loans}, **changed)

    return make
