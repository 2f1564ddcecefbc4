"""Which notices the load layer takes: of a dataset from the refined zone, of what was rejected from the errors zone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.core.clock import SystemClock
from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.errors_dataset import ERRORS
from service.core.model import Message
from service.core.notice import File, FileNotice, Replaces
from service.core.ports import Means
from service.core.tolerance import Tolerance, ToleranceLimits
from service.core.zones import Zone, raw_key, refined_key
from service.load.accept import Accepted
from service.load.catalogue import CATALOGUE_STATEMENTS
from service.load.commit import STATEMENTS, Commit
from service.load.load import Load, Loading
from service.load.preflight import Preflight
from service.load.reasons import Reasons
from service.load.stage import Stage
from service.load.statements import Statements
from service.settings import PROJECT
from tests.fakes.journal import Journal
from tests.fakes.store import FakeStore
from tests.fakes.time import InlineFanOut, InlineThreads
from tests.fakes.warehouse import FakeWarehouse

RAW, REFINED, ZONE = (Zone(name, "lake", name) for name in ("raw", "refined", "errors"))
SQL = PROJECT / "sql" / "statements"
BATCH = "20240304T120000000Z-0123456789abcdef"
NOW = datetime(2024, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def things(define: Callable[..., Dataset]) -> Dataset:
    return define()


@pytest.fixture
def load(things: Dataset) -> Load:
    """With one dataset defined."""
    journal = Journal()
    store = FakeStore(journal)
    warehouse = FakeWarehouse(journal, store, [things])
    means = Means(store, InlineThreads(), InlineFanOut(), SystemClock(), lambda _: None)
    statements = Statements.load(SQL / "load.sql", expected=STATEMENTS)
    catalogue = Statements.load(SQL / "catalogue.sql", expected=CATALOGUE_STATEMENTS)
    stage = Stage(statements, refined=REFINED, role="r", means=means)
    loading = Loading(
        Preflight(catalogue, warehouse=warehouse, large_strings=False, means=means),
        Commit(statements, warehouse=warehouse, stage=stage, large_strings=False, means=means),
        Reasons(statements, warehouse),
    )
    return Load(
        {things.name: things},
        accepted=Accepted(frozenset({things.name}), RAW, REFINED, ZONE),
        loading=loading,
        tolerance=Tolerance(ToleranceLimits(0.5, 10, 60), clock=means.clock, told=lambda *_: None),
        means=means,
    )


def notice(dataset: Dataset, zone: Zone, *, name: str | None = None) -> FileNotice:
    """About one file of the dataset in that zone, or of the one of that name."""
    uri = zone.uri(refined_key(name or dataset.name, "dt=2024-03-04", BATCH, dataset.definition))
    return FileNotice(
        dataset=dataset.name,
        zone=zone.name,
        files=[File(uri, "etag", 100, 5)],
        columns=dataset.stored_columns,
        batch_id=BATCH,
        definition=dataset.definition,
        produced_at=NOW,
        event_time=dataset.event_time,
    )


def test_both_kinds_of_notices_are_sorted_by_dataset(
    load: Load, things: Dataset, message: Callable[..., Message]
) -> None:
    about_things = load.sort(message(notice(things, REFINED).to_json()))
    about_errors = load.sort(message(notice(ERRORS, ZONE).to_json()))
    assert [(one.key, one.items, one.size_bytes) for one in (about_things, about_errors)] == [
        ("things", 1, 100),
        ("errors", 1, 100),
    ]


def test_neither_is_taken_from_the_others_zone(load: Load, things: Dataset, message: Callable[..., Message]) -> None:
    told = "of this dataset only notices about the {} zone are taken on this queue"
    assert refused(load, message(notice(things, ZONE).to_json())) == told.format("refined")
    assert refused(load, message(notice(ERRORS, REFINED).to_json())) == told.format("errors")


def test_a_notice_that_names_a_file_of_the_other_zone_is_refused(
    load: Load, things: Dataset, message: Callable[..., Message]
) -> None:
    for one, zone, other in ((notice(things, REFINED), ZONE, "refined"), (notice(ERRORS, ZONE), REFINED, "errors")):
        files = [replace(file, uri=file.uri.replace(f"/{other}/", f"/{zone.name}/")) for file in one.files]
        told = refused(load, message(replace(one, files=files).to_json()))
        assert told == f"the notice names an object that is no file of ours in the {other} zone"


def test_of_the_errors_zone_nothing_but_error_files_is_taken(load: Load, message: Callable[..., Message]) -> None:
    """The originals that lie there are no files for the warehouse."""
    told = refused(load, message(notice(ERRORS, ZONE, name="originals").to_json()))
    assert told == "the notice names another dataset's file"


def test_error_files_are_never_replayed(load: Load, message: Callable[..., Message]) -> None:
    replay = replace(notice(ERRORS, ZONE), replaces=Replaces(RAW.uri(raw_key("errors", NOW, BATCH)), ()))
    assert refused(load, message(replay.to_json())) == "the files about what was rejected are never replayed"


def refused(load: Load, message: Message) -> str:
    with pytest.raises(RejectedError) as raised:
        load.sort(message)
    assert raised.value.code == "bad_notice"
    return raised.value.sentence
