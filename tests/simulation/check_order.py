"""I3, the order of effects, from the journal: nothing leaves a queue before its next durable place has it."""

import json
from collections.abc import Iterable

from service.core.errors import RejectedError
from service.core.marks import LandedMarks
from service.core.notice import FileNotice
from service.core.zones import Zone, marks_key
from tests.simulation.facts import Facts
from tests.simulation.run import BrokenError

ERRORS = Zone.parse("errors", "s3://errors")


class _Seen:
    """What is durable so far, as the journal is read from its beginning."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.stored: set[str] = set()
        """Objects that lay in the store at some time."""
        self.landed: set[str] = set()
        """Messages in raw files that were announced."""
        self.announced: set[str] = set()
        """Refined files in notices."""
        self.loaded: set[str] = set()
        """Files in a ledger."""
        self.originals: set[str] = set()
        """Bodies of messages in dead letters."""
        self.places: dict[str, set[tuple[int, int]]] = {}
        self.replays: list[FileNotice] = []
        """Notices of replays, for the load queue."""
        self.last: dict[tuple[str, str], str] = {}
        """Which message was the last of a queue that was sent with that body."""

    def take(self, effect: str, details: Iterable[str]) -> None:
        """One more effect."""
        if effect == "warehouse commit":
            self.loaded.update(details)
            return
        if effect.startswith("put "):
            self.stored.add(next(iter(details)))
            return
        queue, _, verb = effect.partition(" ")
        if not verb.startswith("send ") or queue == "reprocess":
            return
        for message_id in details:
            body = self._facts.run.world.queues[queue].sent[message_id].body
            if queue.endswith("-dlq"):
                self._letter(json.loads(body))
            else:
                self.last[queue, body] = message_id
                self._notice(queue, body)

    def has_loaded(self, notice: FileNotice) -> bool:
        """Whether a ledger has all that the notice names, or that of a later replay of the same raw file."""
        if _named(notice) <= self.loaded:
            return True
        return notice.replaces is not None and any(
            later.replaces is not None
            and later.replaces.raw_file == notice.replaces.raw_file
            and later.produced_at > notice.produced_at
            and _named(later) <= self.loaded
            for later in self.replays
        )

    def _letter(self, letter: dict[str, object]) -> None:
        if "places" in letter:
            found = self.places.setdefault(str(letter["raw_file"]), set())
            found.update((row, index) for row, index in letter["places"])  # type: ignore[attr-defined]
            return
        original = letter["original"]
        assert isinstance(original, dict)
        if "uri" in original:
            self._must_lie(original["uri"])
            original = json.loads(self._facts.run.objects[original["uri"]])
        self.originals.add(original["body"])

    def _notice(self, queue: str, body: str) -> None:
        try:
            notice = FileNotice.from_json(body)
        except RejectedError:
            return  # junk from a dead-letter queue, which somebody sent back
        uris = [file.uri for file in notice.files]
        for uri in uris:
            self._must_lie(uri)
        if queue == "load":
            self.announced.update(uris)
            if notice.replaces is not None:
                self.replays.append(notice)
        else:
            for uri in uris:
                self._marks(notice.batch_id, uri)
                self.landed.update(map(self._facts.message_of, self._facts.rows(uri)))

    def _marks(self, batch_id: str, raw_file: str) -> None:
        """What had been sent back is named, by its first id, before anybody can refine it."""
        messages = map(self._facts.message_of, self._facts.rows(raw_file))
        marks = [self._facts.run.marks[one] for one in messages if one in self._facts.run.marks]
        if not marks:
            return
        uri = ERRORS.uri(marks_key(batch_id))
        self._must_lie(uri)
        told = LandedMarks.from_json(self._facts.run.objects[uri])
        if told.raw_file != raw_file or sorted(told.marks, key=str) != sorted(marks, key=str):
            raise BrokenError(f"I3: {uri} does not name what was sent back of {raw_file}")

    def _must_lie(self, uri: str) -> None:
        if uri not in self.stored:
            raise BrokenError(f"I3: a message names {uri} before it is stored")


def _named(notice: FileNotice) -> set[str]:
    replaced = notice.replaces.uris if notice.replaces is not None else ()
    return {*(file.uri for file in notice.files), *replaced}


def order(facts: Facts) -> None:
    """Every deletion comes after what makes it safe."""
    seen = _Seen(facts)
    for effect, details in facts.effects:
        seen.take(effect, details)
        queue, _, verb = effect.partition(" ")
        if not verb.startswith("delete ") or queue.endswith("-dlq") or queue == "reprocess":
            continue  # of letters `check_letters.py` has more to say
        for message_id in details:
            body = facts.run.world.queues[queue].sent[message_id].body
            if body in seen.originals or seen.last.get((queue, body), message_id) != message_id:
                continue  # it has a letter, or was sent again to come later
            if not _safe(facts, seen, queue, message_id, body):
                raise BrokenError(f"I3: {message_id} was deleted before its next durable place had it")


def _safe(facts: Facts, seen: _Seen, queue: str, message_id: str, body: str) -> bool:
    if queue == "records":
        return facts.alike(message_id) in seen.landed
    try:
        notice = FileNotice.from_json(body)
    except RejectedError:
        return False
    if queue == "load":
        return seen.has_loaded(notice) or any(map(seen.has_loaded, _later(facts, notice)))
    for file in notice.files:
        bad = {(row, i) for row, sent in facts.truth(file.uri) for i, key in enumerate(sent.records) if key is None}
        if not bad <= seen.places.get(file.uri, set()):
            return False
    return set(facts.refined(notice)) <= seen.announced


def _later(facts: Facts, notice: FileNotice) -> list[FileNotice]:
    """Replays of the same raw file that were asked for later: where one counts, the earlier ones are settled."""
    raw_file = notice.replaces.raw_file if notice.replaces is not None else ""
    return [one for one in facts.replays.get(raw_file, []) if one.produced_at > notice.produced_at]
