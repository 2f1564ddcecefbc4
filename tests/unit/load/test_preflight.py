"""A dataset's table is looked for in its own schema."""

import pytest

from service.core.clock import SystemClock
from service.core.errors import DatasetSetupError
from service.core.errors_dataset import ERRORS
from service.core.ports import Means
from service.load.catalogue import CATALOGUE_STATEMENTS
from service.load.preflight import Preflight
from service.load.statements import Statements
from service.load.tables import LEDGER_COLUMNS
from service.settings import PROJECT
from tests.fakes.journal import Journal
from tests.fakes.store import FakeStore
from tests.fakes.time import InlineFanOut, InlineThreads
from tests.fakes.warehouse import FakeWarehouse


@pytest.fixture
def warehouse() -> FakeWarehouse:
    """With the tables that a migration makes in the service's own schema."""
    journal = Journal()
    made = FakeWarehouse(journal, FakeStore(journal), [])
    made.ledgers = {"load_ledger_errors": list(LEDGER_COLUMNS), "errors": list(ERRORS.stored_columns)}
    return made


@pytest.fixture
def preflight(warehouse: FakeWarehouse) -> Preflight:
    statements = Statements.load(PROJECT / "sql" / "statements" / "catalogue.sql", expected=CATALOGUE_STATEMENTS)
    means = Means(FakeStore(warehouse.journal), InlineThreads(), InlineFanOut(), SystemClock(), lambda _: None)
    return Preflight(statements, warehouse=warehouse, large_strings=False, means=means)


async def test_what_was_rejected_is_looked_for_in_the_services_schema(preflight: Preflight) -> None:
    await preflight.table(ERRORS, ERRORS.stored_columns)


async def test_a_table_of_that_name_among_the_datasets_is_another_one(
    preflight: Preflight, warehouse: FakeWarehouse
) -> None:
    warehouse.columns["errors"] = warehouse.ledgers.pop("errors")
    with pytest.raises(DatasetSetupError, match=r"^warehouse: table acequia\.errors does not exist"):
        await preflight.table(ERRORS, ERRORS.stored_columns)


async def test_a_column_that_the_table_lacks_is_named_with_its_schema(
    preflight: Preflight, warehouse: FakeWarehouse
) -> None:
    warehouse.ledgers["errors"] = [column for column in ERRORS.stored_columns if column[0] != "updated_at"]
    with pytest.raises(DatasetSetupError, match=r"table acequia\.errors lacks the column updated_at"):
        await preflight.table(ERRORS, ERRORS.stored_columns)
