"""What one task was measured to do, as `bench/rates.json`. The templates' numbers and the documents are held to it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import median

from service.settings import PROJECT

FILE = PROJECT / "bench" / "rates.json"
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Spread:
    """Of several runs."""

    least: float
    middle: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """There must be some."""
        return cls(min(values), median(values), max(values))


@dataclass(frozen=True, slots=True)
class Figure:
    """A layer's task of one size at one kind of work. `item` is what is counted, such as a message.

    `used_share` is how much of its processors it used in the middle run: near 1 it was what limited the work, below
    that it waited for the emulators.
    """

    layer: str
    item: str
    work: str
    size_bytes: int
    """Of an item, as SQS or S3 counts it."""
    cpus: float
    memory_bytes: int
    threads: int
    runs: int
    items: int
    cpu_seconds: Spread
    """Of processor time for an item."""
    a_second: Spread
    """Items, by the clock."""
    used_share: float
    peak_bytes: int

    @property
    def at_full_use(self) -> float:
        """Items a second, were all of the task's processors used, at the dearest run's cost."""
        return self.cpus / self.cpu_seconds.most


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures, and when and on what they were taken."""

    on: date
    machine: str
    figures: Sequence[Figure]

    def of(self, layer: str, cpus: float) -> list[Figure]:
        """Those of a layer's tasks of that size."""
        return [one for one in self.figures if one.layer == layer and one.cpus == cpus]

    def written(self) -> str:
        """The file's text."""
        return json.dumps(asdict(self), indent=1, default=str) + "\n"


def read(file: Path = FILE) -> Measured:
    """What was measured last."""
    told = json.loads(file.read_text(encoding="utf-8"))
    figures = [
        Figure(**{**one, "cpu_seconds": Spread(**one["cpu_seconds"]), "a_second": Spread(**one["a_second"])})
        for one in told["figures"]
    ]
    return Measured(date.fromisoformat(told["on"]), told["machine"], figures)


def markdown(measured: Measured) -> str:
    """The figures as a table for the documents."""
    head = "| task | work | processor time for one | at full use | by the clock | processors used | peak |"
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += [_row(one) for one in measured.figures]
    return "\n".join(lines) + "\n"


def _row(one: Figure) -> str:
    cells = (
        f"{one.layer}, {one.cpus:g} vCPU, {one.memory_bytes // MIB:,} MiB",
        f"{one.item}: {one.work}, {_bytes(one.size_bytes)}",
        _spread(one.cpu_seconds, 1_000, "ms"),
        f"{_number(one.at_full_use)} a second",
        _spread(one.a_second, 1, "a second"),
        f"{one.used_share:.0%}",
        f"{one.peak_bytes / MIB:,.0f} MiB",
    )
    return f"| {' | '.join(cells)} |"


def _spread(spread: Spread, times: float, unit: str) -> str:
    return f"{' / '.join(_number(times * one) for one in (spread.least, spread.middle, spread.most))} {unit}"


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


def _bytes(size: int) -> str:
    return f"{size / MIB:,.1f} MiB" if size >= MIB else f"{size:,} bytes"
