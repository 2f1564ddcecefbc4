"""Which units of the notices in hand may share a COPY, and in which order the groups go."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from service.core.datasets import Dataset
from service.core.notice import FileNotice
from service.load.ledger import Unit, batch_of

Columns: TypeAlias = tuple[tuple[str, str], ...]
Kind: TypeAlias = tuple[int, Columns, str, str, bool]


@dataclass(frozen=True, slots=True)
class Group:
    """Units for one COPY: all have the same columns in the same order, because COPY goes by position."""

    dataset: Dataset
    columns: Sequence[tuple[str, str]]
    units: Sequence[Unit]
    group_id: str
    event_time: str
    hourly: bool
    """By which column, and how finely, the files were cut: under today's definition that may be otherwise."""


def units_of(notice: FileNotice) -> list[Unit]:
    """What a notice asks to load: each file by itself, or a whole replay."""
    if notice.replaces is not None:
        return [Unit(tuple(notice.files), notice.produced_at, notice.replaces)]
    return [Unit((file,), notice.produced_at) for file in notice.files]


def groups(dataset: Dataset, notices: Iterable[FileNotice], group_id: str) -> Iterator[Group]:
    """Units that may share a COPY, each once: the same columns in the same order, written under one definition.

    Under two definitions one raw file gives two files of the same rows; in one COPY nobody could tell whose a row is.
    Replays come last, because they may replace what comes before; of one raw file the older first, each in its own
    group.
    """
    found: dict[Kind, dict[object, Unit]] = {}
    replays: dict[str, list[object]] = {}
    for notice in sorted(notices, key=lambda one: one.produced_at):
        for unit in units_of(notice):
            hourly = any("/hr=" in uri for uri in unit.uris)
            cut = (notice.event_time or dataset.event_time, hourly)
            kind = (_round(unit, replays), tuple(notice.columns), "" if unit.replaces else notice.definition, *cut)
            found.setdefault(kind, {}).setdefault(unit.key, unit)
    for kind in sorted(found, key=lambda one: one[0]):
        yield Group(dataset, kind[1], list(found[kind].values()), group_id, kind[3], kind[4])


def _round(unit: Unit, replays: dict[str, list[object]]) -> int:
    """0 for files, and for a replay: the how manieth it is of its raw file."""
    if unit.replaces is None:
        return 0
    seen = replays.setdefault(batch_of(unit.replaces.raw_file), [])
    if unit.key not in seen:
        seen.append(unit.key)
    return seen.index(unit.key) + 1
