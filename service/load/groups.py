"""Which units of the notices in hand may share a COPY, and in which order the groups go."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from service.core.datasets import Dataset
from service.core.notice import FileNotice
from service.load.ledger import Unit

Columns: TypeAlias = tuple[tuple[str, str], ...]
Kind: TypeAlias = tuple[bool, int, Columns, str, bool]


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
    """Units that may share a COPY, each once: the same columns in the same order, no two of one raw file and partition.

    One raw file may have given two files of the same rows, under two definitions, or when rows were sent back; in one
    COPY nobody could tell whose a row is, so they take turns, the older first. Replays come last, because they may
    replace what comes before; of one raw file the older first, each in its own group.
    """
    found: dict[Kind, dict[object, Unit]] = {}
    turns: dict[str, list[object]] = {}
    for notice in sorted(notices, key=lambda one: one.produced_at):
        for unit in units_of(notice):
            hourly = any("/hr=" in uri for uri in unit.uris)
            cut = (notice.event_time or dataset.event_time, hourly)
            kind = (unit.replaces is not None, _turn(unit, turns), tuple(notice.columns), *cut)
            found.setdefault(kind, {}).setdefault(unit.key, unit)
    for kind in sorted(found, key=lambda one: one[:2]):
        yield Group(dataset, kind[2], list(found[kind].values()), group_id, kind[3], kind[4])


def _turn(unit: Unit, turns: dict[str, list[object]]) -> int:
    """The how manieth it is of its raw file and partition; a replay: of its raw file."""
    place = unit.files[0].uri.rpartition("/")[0] if unit.replaces is None else "replay"
    seen = turns.setdefault(f"{place}/{unit.batch}", [])
    if unit.key not in seen:
        seen.append(unit.key)
    return seen.index(unit.key)
