"""Port `Rehearse`: what the layers would say of what failed, with the code and the definitions of now."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from service.core.errors import RejectedError
from service.core.model import DATASET_ATTRIBUTE, Message
from service.land.encode import encode
from service.quarantine.reprocess.rehearse import Fault, Inside, Rehearsed, Specimen
from service.refine.compile import compile_datasets
from service.refine.execute import MEMORY_A_BYTE, MEMORY_A_RECORD, SENTENCES, Rejection, judge
from service.refine.open import Opened, open_bodies
from service.wiring.flow import keys, source
from service.wiring.parts import Parts
from service.wiring.quarantine import checks
from service.wiring.whole_files import WholeFiles


@dataclass(frozen=True, slots=True)
class _Told:
    """What is found so far, to be added to; `faults` are by the specimens' numbers."""

    faults: list[Fault | None]
    record_ids: list[str] = field(default_factory=list)
    inside: Inside = field(default_factory=Inside)


class Rehearsal:
    """What land's sort, refine's judgement, load's sort and load's look at the files say. Sends and stores nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._checks = checks(parts)
        self._programs = compile_datasets(parts.datasets, super_bytes_max=parts.settings.super_string_bytes_max)
        self._default = source(parts).default_dataset
        self._keys = keys(parts)
        self._whole_files = WholeFiles(parts, self._programs)

    async def __call__(self, layer: str, dataset: str, specimens: Sequence[Specimen]) -> Rehearsed:
        told = await self._parts.means.threads.run(self._rehearse, layer, dataset, specimens)
        return told if layer == "land" else await self._with_files(layer, specimens, told)

    async def _with_files(self, layer: str, specimens: Sequence[Specimen], told: Rehearsed) -> Rehearsed:
        """Notices that are sound are tried with their files."""
        attempt = self._whole_files.refined if layer == "refine" else self._whole_files.loaded
        faults, doubts, inside = [*told.faults], dict[int, str](), told.inside
        for number, specimen in enumerate(specimens):
            if specimen.place is not None or faults[number] is not None:
                continue
            tried = await attempt(_message(specimen))
            faults[number] = tried.fault
            inside.add(tried.inside)
            if tried.doubt is not None:
                doubts[number] = tried.doubt
        return Rehearsed(faults, told.record_ids, doubts, inside)

    def _rehearse(self, layer: str, dataset: str, specimens: Sequence[Specimen]) -> Rehearsed:
        faults: list[Fault | None] = [None] * len(specimens)
        by_dataset: dict[str, list[int]] = {}
        for number, specimen in enumerate(specimens):
            if specimen.place is not None:
                faults[number] = _no_record(specimen)
                if faults[number] is None:
                    by_dataset.setdefault(dataset, []).append(number)
                continue
            message = _message(specimen)
            faults[number] = _fault(self._checks[layer](message))  # type: ignore[index]  # layers are sources
            if layer == "land" and faults[number] is None:
                whose = message.text(DATASET_ATTRIBUTE) or self._default or ""
                by_dataset.setdefault(whose, []).append(number)
        told = _Told(faults)
        for whose, numbers in by_dataset.items():
            self._records(whose, [specimens[number] for number in numbers], numbers, told)
            if whose != dataset:
                _tell_whose(whose, numbers, faults)
        return Rehearsed(faults, told.record_ids, inside=told.inside)

    def _records(self, dataset: str, specimens: Sequence[Specimen], numbers: Sequence[int], told: _Told) -> None:
        program = self._programs.get(dataset)
        if program is None:
            gone = Fault("unknown_dataset", "there is no definition for the record's dataset any more")
            for number in numbers:
                told.faults[number] = gone
            return
        messages = [_message(specimen) for specimen in specimens]
        raw = encode(messages, "rehearsal")
        try:
            judged = judge(raw, "s3://rehearsal", program, self._keys, self._parts.settings.refine_memory_bytes_max)
        except RejectedError as wrong:
            if len(specimens) == 1:
                told.faults[numbers[0]] = _fault(wrong)
                return
            half = len(specimens) // 2
            self._records(dataset, specimens[:half], numbers[:half], told)
            self._records(dataset, specimens[half:], numbers[half:], told)
            return
        failing = _by_row(judged.rejections)
        for row, held in self._held(messages).items():
            fault = _of_message(dataset, held, failing.get(row, Counter()), told.inside)
            told.faults[numbers[row]] = fault
        record_ids = Counter(map(str, judged.good.column("_record_id").to_pylist()))
        if program.dataset.identity == "message":
            passed = [one for one, number in zip(specimens, numbers, strict=True) if told.faults[number] is None]
            record_ids = self._in_their_places(passed, record_ids)
        told.record_ids.extend(sorted(record_ids.elements()))

    def _held(self, messages: Sequence[Message]) -> Counter[int]:
        """How many records each message holds, by its row; one that cannot be opened counts as one."""
        memory_bytes = self._parts.settings.refine_memory_bytes_max
        opened = open_bodies(
            [message.body for message in messages],
            expanded_bytes_max=memory_bytes // MEMORY_A_BYTE,
            records_max=memory_bytes // MEMORY_A_RECORD,
        )
        return Counter(opened.rows) + Counter(row for row, _, _ in opened.wrong)

    def _in_their_places(self, specimens: Sequence[Specimen], record_ids: Counter[str]) -> Counter[str]:
        """A record's place in its message is part of its id, and was 0 where it stood alone."""
        records = [(one.original.message_id, one.place[1]) for one in specimens if one.opened and one.place is not None]
        alone = Counter(self._keys.record_id(message_id, 0) for message_id, _ in records)
        return record_ids - alone + Counter(self._keys.record_id(*record) for record in records)


def _tell_whose(dataset: str, numbers: Sequence[int], faults: list[Fault | None]) -> None:
    """These were judged by that dataset's definition, not by the one of the dataset for which they failed."""
    for number in numbers:
        fault = faults[number]
        if fault is not None:
            faults[number] = replace(fault, dataset=dataset)


def _by_row(rejections: Iterable[Rejection]) -> dict[int, Counter[Fault]]:
    """Of each message that has any, the faults of its records."""
    found: dict[int, Counter[Fault]] = {}
    for rejection in rejections:
        fault = Fault(rejection.fault.code, rejection.fault.sentence)
        for row, _ in rejection.places:
            found.setdefault(row, Counter())[fault] += 1
    return found


def _of_message(dataset: str, held: int, failing: Counter[Fault], inside: Inside) -> Fault | None:
    """Why nothing of a message would pass. Where it passes and holds several records, these are counted `inside`."""
    failed = failing.total()
    if failed >= held:
        return failing.most_common(1)[0][0]
    if held > 1:
        counts = Counter[tuple[str, str, str]]()
        counts.update({(dataset, fault.code, fault.sentence): count for fault, count in failing.items()})
        inside.add(Inside(messages=1, passing=held - failed, failing=counts))
    return None


def _no_record(specimen: Specimen) -> Fault | None:
    """What is wrong with a text that is no record at all, however it would fare as a message."""
    if not specimen.opened:
        return None
    told = Opened()
    told.add(0, [specimen.original.body])
    return next((Fault(code, SENTENCES[code]) for _, _, code in told.wrong), None)


def _message(specimen: Specimen) -> Message:
    """As it would come. A record stands in an array of its own: what would be a body of many records, or wrapped, where
    it came alone, is one record here.
    """
    one = specimen.original
    body = f"[{one.body}]" if specimen.opened else one.body
    return Message(one.message_id, body, one.attributes, one.sent_at, one.sent_at, 1, "")


def _fault(wrong: RejectedError | None) -> Fault | None:
    return None if wrong is None else Fault(wrong.code, wrong.sentence)
