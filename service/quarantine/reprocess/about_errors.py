"""The way back for files of the errors dataset itself that the load layer has rejected.

Letters about them make no error row, so that there is no loop. What is known of them stands in their fingerprints'
states, and the notices stand in the letters' copies on the reprocess queue alone: from there they are sent.

Durable effects, in this order: the round begun → portion by portion: notices sent → the portion written down; then the
fingerprints marked → the letters deleted → the round marked as sent.

    dies before the letters go   a second run sends the same notices once more: the ledger knows their files
    dies after them              the round is taken for sent when nothing has come for a while

A fingerprint stands as `reprocessed` only when nothing of it was left behind. Letters that somebody else holds nobody
can count, nor those of a queue that has more than one look sees, whatever they are about (`claims.SEEN_MAX`, and as
many as come in `claims.GATHER_SECONDS_MAX`): then all stay, and are sent again by the next run.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service.core.dead_letter import Letter
from service.core.errors_dataset import ERRORS
from service.core.fingerprints import fingerprint
from service.core.slices import slices
from service.core.zones import Zone
from service.quarantine.arrivals import is_about_errors
from service.quarantine.look import Look
from service.quarantine.reprocess.claims import Claims
from service.quarantine.reprocess.pace import Pace
from service.quarantine.reprocess.parcels import Parcel, Parcels, Refused
from service.quarantine.reprocess.plan import Plan, Told
from service.quarantine.reprocess.rehearse import OriginalsReader, Specimen, forecast
from service.quarantine.reprocess.rounds import Portion, Round, Rounds, round_id_of
from service.quarantine.reprocess.run import PORTION_MESSAGES, Done
from service.quarantine.reprocess.table import Choice, ErrorRow, Group, Item
from service.quarantine.reprocess.tools import Tools
from service.quarantine.states import Standing, State

LETTERS_MAX = 10_000
"""Letters that one run sends; another one sends the others."""
BYTES_MAX = 64 * 1024 * 1024
"""What they may take in memory, all together."""


async def known_states(choice: Choice, tools: Tools) -> list[State]:
    """The fingerprints of such failures that are chosen, those that failed last first. Reads the errors zone alone."""
    look = Look(tools.errors, tools.states, tools.means)
    found = [state for state in await look.states() if state.dataset == ERRORS.name and _chosen(state, choice)]
    return sorted(found, key=lambda state: state.last_failed_at, reverse=True)


def group_of_state(state: State) -> Group:
    """As the list shows it: failures are counted, there are no rows that could be."""
    counts: dict[str, int] = {"open": 0, "reprocessed": 0, "resolved": 0, "parked": 0, state.state: state.failed}
    return Group(
        fingerprint=state.fingerprint,
        layer=state.layer,
        dataset=state.dataset,
        code=state.code,
        field=state.field,
        sentence=state.sentence,
        records=state.failed,
        first_failed_at=state.first_failed_at,
        last_failed_at=state.last_failed_at,
        **counts,
    )


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why not all letters of the queue were seen: others are `held` by somebody else or have just come, or else the
    queue has more of them than one run looks at. `seen` are those that were.
    """

    seen: int
    held: bool


@dataclass(slots=True)
class _Gathered:
    """Letters in hand, of each failure the latest; `left` counts by fingerprint what this run does not send."""

    zone: Zone
    choice: Choice
    letters: dict[str, tuple[str, Letter]] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    size: int = 0

    def take(self, letter: Letter) -> bool:
        """Look at a letter from the queue; says whether it is one of those that are meant here."""
        if is_about_errors(self.zone, letter.layer, letter.dataset, letter.original):
            self._take(letter)
            return True
        return False

    def _take(self, letter: Letter) -> None:
        name = fingerprint(letter.layer, ERRORS.name, letter.code, letter.column)
        _, known = self.letters.get(letter.error_id, (name, None))
        if known is not None:
            if letter.last_failed_at > known.last_failed_at:
                self.letters[letter.error_id] = name, letter
            return
        size = 0 if letter.original is None else len(letter.original.body)
        room = len(self.letters) < min(LETTERS_MAX, self.choice.limit) and self.size + size <= BYTES_MAX
        if not _letter_chosen(name, letter, self.choice) or not room:
            self.left[name] += 1
            return
        self.size += size
        self.letters[letter.error_id] = name, letter

    def items(self) -> list[Item]:
        """What can be sent, whatever was tried too often among it."""
        return [_item(name, letter) for name, letter in self.letters.values()]


class _Held(OriginalsReader):
    """The originals that letters brought along; those that only point to theirs have them in the errors zone."""

    def __init__(self, tools: Tools, letters: Iterable[Letter]) -> None:
        super().__init__(tools.errors, tools.means)
        self._held = {one.error_id: one.original for one in letters if one.original is not None}

    async def of(self, items: Iterable[Item]) -> AsyncIterator[tuple[Item, Specimen | None]]:
        """Each with its original."""
        for item in items:
            held = self._held.get(item.error_id)
            if held is not None:
                yield item, Specimen(item.error_id, held)
                continue
            async for found in super().of([item]):
                yield found


class ErrorsRun:
    """One round of it. `give_back` must end it, whatever became of it."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._clock = tools.means.clock
        self._rounds = Rounds(tools.errors, tools.means)
        self._claims = Claims(tools.reprocess_queue, self._clock)
        self._states: Mapping[str, State] = {}
        self._gathered = _Gathered(tools.errors, Choice(self._clock.now(), self._clock.now()))
        self._originals = _Held(tools, [])
        self.doubt: Doubt | None = None

    @property
    def sure(self) -> bool:
        """Whether all letters that there are were seen."""
        return self.doubt is None

    async def plan(self, choice: Choice, progress: Told) -> Plan:
        """Take the letters from the queue, and have the load layer's own checks look at them."""
        tools, found = self._tools, _Gathered(self._tools.errors, choice)
        self._gathered = found
        self._states = {state.fingerprint: state for state in await known_states(choice, tools)}
        seen, ended = await self._claims.look(found.take)
        depth = await tools.reprocess_queue.depth()
        if not ended:
            self.doubt = Doubt(seen, held=False)
        elif depth.waiting + depth.in_flight > seen:
            self.doubt = Doubt(seen, held=True)
        items = found.items()
        tried_out = [] if choice.parked else [item for item in items if item.tried >= tools.attempts_max]
        chosen = [item for item in items if item not in tried_out]
        self._originals = _Held(tools, [letter for _, letter in found.letters.values()])
        expected = await forecast(chosen, self._originals, tools.rehearse, progress)
        return Plan(chosen, tried_out, expected, {})

    async def send(self, plan: Plan, *, rate: float, stop: Callable[[], bool], told: Told) -> Done:
        """Send what was planned."""
        began_at = self._clock.now()
        done = Done(round_id_of(began_at, self._tools.token()), parked=len(plan.exhausted))
        if not plan.items:
            await self._settle(plan, [], done)
            return done
        begun = Round(done.round_id, began_at, min(item.first_failed_at for item in plan.items).date())
        await self._rounds.change(begun.round_id, lambda _: begun)
        sent: list[Item] = []
        pace = Pace(self._claims, self._clock, rate=rate, stop=stop)
        for number, some in enumerate(slices(plan.items, PORTION_MESSAGES), start=1):
            parcels = await self._post(some, done, pace, told)
            pairs = [pair for parcel in parcels for pair in parcel.items]
            if pairs:
                await self._rounds.put(done.round_id, Portion(number, [one for _, one in pairs], []))
            sent += [item for item, _ in pairs]
        done.sent, done.messages = len(sent), len(sent)
        await self._settle(plan, sent, done)
        await self._rounds.change(begun.round_id, lambda known: replace(known or begun, stage="sent"))
        return done

    async def give_back(self) -> None:
        """All letters that are still held."""
        await self._claims.give_back()

    async def _post(self, items: Sequence[Item], done: Done, pace: Pace, told: Told) -> list[Parcel]:
        """Send these, until it is to stop; gives what went."""
        parcels, chunk = Parcels(done.round_id, self._originals, self._tools.notice_of), list[Parcel]()
        posted: list[Parcel] = []

        async def post() -> None:
            if not await pace.turn():
                done.stopped |= bool(chunk)
            elif chunk:
                await self._tools.queues["load"].send([parcel.outgoing for parcel in chunk])
                posted.extend(chunk)
                told(len(chunk))
                pace.sent(len(chunk))
            chunk.clear()

        async for made in parcels.of(items):
            if pace.stop():
                done.stopped = True
                break
            if isinstance(made, Refused):
                done.refused[made.why] += len(made.items)
                told(len(made.items))
                continue
            chunk.append(made)
            if len(chunk) >= pace.chunk:
                await post()
        await post()
        return posted

    async def _settle(self, plan: Plan, sent: Sequence[Item], done: Done) -> None:
        """Have the fingerprints stand as what was sent, or parked, and delete the letters of what was sent."""
        if not self.sure:
            return
        parked, went = Counter(item.fingerprint for item in plan.exhausted), Counter(item.fingerprint for item in sent)
        planned = Counter(item.fingerprint for item in plan.items)
        for name in {*planned, *parked}:
            standing: Standing = "parked" if parked[name] else "reprocessed"
            if went[name] == planned[name] and not self._gathered.left[name] and name in self._states:
                await self._tools.states.mark(self._states[name], standing)
        settled: dict[str, datetime] = {item.error_id: item.rows[0].failed_at for item in sent}
        await self._claims.keep()
        done.letters = await self._claims.settle(settled)


def _chosen(state: State, choice: Choice) -> bool:
    wanted = (choice.fingerprint, choice.layer, choice.dataset, choice.code)
    told = (state.fingerprint, state.layer, state.dataset, state.code)
    alike = all(want in (None, one) for want, one in zip(wanted, told, strict=True))
    return alike and choice.since <= state.last_failed_at <= choice.until


def _letter_chosen(name: str, letter: Letter, choice: Choice) -> bool:
    wanted = ((choice.fingerprint, name), (choice.layer, letter.layer), (choice.code, letter.code))
    return all(want in (None, one) for want, one in wanted) and choice.since <= letter.last_failed_at <= choice.until


def _item(name: str, letter: Letter) -> Item:
    """The letter as what can be sent back as one; the row that it would have tells when it failed."""
    return Item(
        error_id=letter.error_id,
        fingerprint=name,
        layer=letter.layer,
        dataset=ERRORS.name,
        code=letter.code,
        field=letter.column,
        raw_file=None,
        row_index=None,
        record_index=None,
        message_id=None if letter.original is None else letter.original.message_id,
        tried=letter.attempts,
        original_uri=letter.original_uri,
        first_failed_at=letter.first_failed_at,
        rows=(ErrorRow(letter.error_id, "", letter.last_failed_at),),
    )
