"""What refine and load would say of notices that failed, with the files in hand. Nothing is sent or stored.

One file is in memory at a time, and takes what refining it takes: at most `ACEQUIA_REFINE_MEMORY_BYTES_MAX`. The whole
file is judged at once, as refine does it, because whether it fits into that memory is part of the answer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.errors_dataset import ERRORS
from service.core.model import Message
from service.core.notice import File, FileNotice
from service.load.catalogue import CATALOGUE_STATEMENTS, takes
from service.load.preflight import Preflight
from service.load.statements import Statements
from service.quarantine.reprocess.rehearse import Fault, Inside
from service.refine.compile import Program
from service.refine.execute import Judged, Keys, judge, judge_rows
from service.wiring.flow import keys
from service.wiring.parts import Parts

ONLY_THE_WAREHOUSE = (
    "only the warehouse can say whether it takes the rows; the files lie there, with columns of the present definition"
)
OTHER_COLUMNS = "the present definition has no column {name}, or a narrower one; only the live table can say if it fits"


@dataclass(frozen=True, slots=True)
class Tried:
    """What would become of one notice: a fault, or a doubt, or it passes; and what of the records in its file."""

    fault: Fault | None = None
    doubt: str | None = None
    inside: Inside = field(default_factory=Inside)


class WholeFiles:
    """For notices that the layers' own queues take: what they would find in the files."""

    def __init__(self, parts: Parts, programs: Mapping[str, Program]) -> None:
        self._parts = parts
        self._programs = programs
        self._datasets: Mapping[str, Dataset] = {**parts.datasets, ERRORS.name: ERRORS}
        self._keys: Keys = keys(parts)
        sql = parts.settings.sql_directory / "statements" / "catalogue.sql"
        statements = Statements.load(sql, expected=CATALOGUE_STATEMENTS)
        self._preflight = Preflight(statements, warehouse=parts.warehouse, large_strings=False, means=parts.means)

    async def refined(self, message: Message) -> Tried:
        """What refine would make of the raw file, or of the records in it that the notice names."""
        notice, inside = FileNotice.from_json(message.body), Inside()
        try:
            for file in notice.files:
                raw = await self._parts.means.store.get(file.uri)
                inside.add(await self._parts.means.threads.run(self._inside, raw, file, notice))
        except RejectedError as wrong:
            return Tried(Fault(wrong.code, wrong.sentence))
        return Tried(inside=inside)

    async def loaded(self, message: Message) -> Tried:
        """What load would find before COPY. The warehouse is not asked."""
        notice = FileNotice.from_json(message.body)
        faults = await self._preflight.files(notice.files)
        for wrong in faults.values():
            return Tried(Fault(wrong.code, wrong.sentence))
        other = _other_column(notice.columns, self._datasets[notice.dataset])
        return Tried(doubt=ONLY_THE_WAREHOUSE if other is None else OTHER_COLUMNS.format(name=other))

    def _inside(self, raw: bytes, file: File, notice: FileNotice) -> Inside:
        """Work for a thread; of the judged records nothing but their number leaves it."""
        judged = self._judged(raw, file, notice)
        failing = Counter[tuple[str, str, str]]()
        for rejection in judged.rejections:
            failing[notice.dataset, rejection.fault.code, rejection.fault.sentence] += len(rejection.places)
        return Inside(files=1, passing=judged.good.num_rows, failing=failing)

    def _judged(self, raw: bytes, file: File, notice: FileNotice) -> Judged:
        program, memory_bytes = self._programs[notice.dataset], self._parts.settings.refine_memory_bytes_max
        if notice.rows:
            return judge_rows(raw, file.uri, notice.rows, program, self._keys, memory_bytes)
        return judge(raw, file.uri, program, self._keys, memory_bytes)


def _other_column(columns: Sequence[tuple[str, str]], dataset: Dataset) -> str | None:
    """A column of the files that the present definition would not take."""
    defined = dict(dataset.stored_columns)
    return next((name for name, given in columns if name not in defined or not takes(defined[name], given)), None)
