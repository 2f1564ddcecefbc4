"""What is promised about what people do: nothing that is sent back is lost or forgotten, and repairs are exact."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from service.core.dead_letter import read_letter
from service.quarantine.reprocess.rounds import Round
from service.upkeep.reconcile import Day
from tests.simulation.facts import Facts
from tests.simulation.people_rows import ERROR_FILES, ErrorRows, Parcel, Row, Thing, error_ids_of, parcel_of, thing_of
from tests.simulation.producers import SECRET
from tests.simulation.run import BrokenError

QUEUES = ("records", "refine", "load")
SETTLED, WAITING = ("reprocessed", "resolved"), ("open", "parked")
LOSSES = {"lose raw", "lose refined"}
FLAGGED: dict[str, set[str]] = {"": set(), "refine": {"not_refined"}, "load": {"not_loaded"}}
"""What reconcile must find where a notice has expired on that queue."""


class _Way:
    """What is durable so far of the way back, as the journal is read from its beginning."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._rows = ErrorRows(facts)
        self._begun: set[str] = set()
        """Rounds."""
        self._parcels: dict[str, list[Parcel]] = {}
        """By round."""
        self._tried: dict[Thing, list[tuple[int, int]]] = {}
        """When which number of tries stood in the errors zone, by the journal's length."""
        self._settled: dict[str, datetime] = {}
        """By error id: the failure that a stored row says was sent back or resolved."""
        self._seen: set[str] = set()

    def take(self, number: int, effect: str, details: list[str]) -> None:
        """One more effect."""
        queue, _, verb = effect.partition(" ")
        if effect.startswith("replace errors rounds"):
            self._begun.add(details[0].rpartition("/")[2].removesuffix(".json"))
        elif effect.startswith("put ") and details[0].startswith(ERROR_FILES) and details[0] not in self._seen:
            self._seen.add(details[0])
            for row in self._rows.of(details[0]):
                self._row(number, row)
        elif queue in QUEUES and verb.startswith("send "):
            for message_id in details:
                parcel = parcel_of(queue, self._facts.run.world.queues[queue].sent[message_id])
                if parcel is not None:
                    self._send(parcel)
        elif queue == "reprocess" and verb.startswith("delete "):
            for message_id in details:
                self._delete(message_id)

    def _row(self, number: int, row: Row) -> None:
        thing, parcels = thing_of(row), self._parcels.get(row["round_id"] or "", ())
        mine = [parcel for parcel in parcels if parcel.holds(thing)]
        if row["state"] == "open":
            self._tried.setdefault(thing, []).append((number, row["attempts"]))
            _must(
                not mine or row["attempts"] in {parcel.attempt + 1 for parcel in mine},
                f"8: {thing} failed once more in round {row['round_id']}, and counts {row['attempts']} attempts",
            )
        if row["state"] == "reprocessed":
            _must(mine != [], f"I3: {thing} is said to be sent back in round {row['round_id']} before it is")
        if row["state"] in SETTLED:
            known = self._settled.setdefault(row["error_id"], row["last_failed_at"])
            self._settled[row["error_id"]] = max(known, row["last_failed_at"])

    def _send(self, parcel: Parcel) -> None:
        _must(parcel.round_id in self._begun, f"I3: something was sent back in a round that is not stored: {parcel}")
        self._parcels.setdefault(parcel.round_id, []).append(parcel)
        people = self._facts.run.people
        assert people is not None
        began = people.began[parcel.round_id.rpartition("-")[2]]
        for thing in parcel.things:
            known = [tried for number, tried in self._tried.get(thing, ()) if number < began]
            _must(
                parcel.attempt >= max(known, default=0) and parcel.attempt > 0,
                f"8: {thing} was sent back as tried {parcel.attempt} times, after {known}",
            )

    def _delete(self, message_id: str) -> None:
        letter = read_letter(self._facts.run.world.queues["reprocess"].sent[message_id].body)
        _must(letter is not None, f"I3: {message_id}, no letter of ours, was deleted from the reprocess queue")
        assert letter is not None
        failed_at = letter.last_failed_at.replace(tzinfo=None)
        for error_id in error_ids_of(self._facts.run.world.queues["reprocess"].sent[message_id].body):
            settled = self._settled.get(error_id)
            _must(
                settled is not None and settled >= failed_at,
                f"I3: {message_id} left the reprocess queue, and {error_id} was not said to be sent back",
            )


def ways_back(facts: Facts) -> None:
    """I3 and promise 8: rounds, parcels, rows and letters come one after the other; attempts never go back."""
    way = _Way(facts)
    for number, (effect, details) in enumerate(facts.effects):
        way.take(number, effect, details)


def fates(facts: Facts) -> None:
    """Promise 8: of all that ever failed it is known in the end what became of it, and that is so."""
    rows, lost = ErrorRows(facts), _lost(facts)
    events = {(name, row["event_id"]) for name in facts.run.datasets for row in facts.run.world.warehouse.rows(name)}
    for thing, failures in rows.things.items():
        states = {row["state"] for row in failures}
        passes = rows.passes(thing)
        if states & {*WAITING}:
            _must(not passes or lost, f"8: {thing} is open in the end, and would pass")
        elif "reprocessed" in states:
            _must(lost or _left(facts, rows, thing), f"8: {thing} was sent back, and nobody says what became of it")
        else:
            _must(passes is not False or lost, f"8: {thing} is said to be resolved, and cannot pass")
            missing = [one for one in rows.wanted(thing) if one not in events]
            _must(not missing or lost, f"8: {thing} is said to be resolved, and {missing} are not in the warehouse")


def known_alike(facts: Facts) -> None:
    """Promise 7: the warehouse says of each failure what the errors zone says."""
    zone = {error_id: row["state"] for error_id, row in ErrorRows(facts).latest.items()}
    table = {row["error_id"]: row["state"] for row in facts.run.world.warehouse.rows("errors")}
    differ = {one: (zone.get(one), table.get(one)) for one in zone.keys() | table if zone.get(one) != table.get(one)}
    _must(not differ, f"7: states in the errors zone and in the warehouse: {differ}")


def letters_stay(facts: Facts) -> None:
    """Promise 8: what waits to be sent back has its letter on the reprocess queue."""
    there = {one for body in facts.run.world.queues["reprocess"].bodies for one in error_ids_of(body)}
    for error_id, row in ErrorRows(facts).latest.items():
        _must(row["state"] not in WAITING or error_id in there, f"8: {error_id} is {row['state']}, and has no letter")


def rounds_end(facts: Facts) -> None:
    """I7: no round is for ever taken for one that is being sent."""
    for uri, body in facts.run.world.store.objects.items():
        if uri.startswith("s3://errors/rounds/") and uri.count("/") == 4:
            _must(Round.from_json(body).stage != "sending", f"I7: {uri} is taken for being sent")


def adds_up(facts: Facts) -> None:
    """Promise 7: unless objects were lost, reconcile flags what has expired alone; a second repair is idle."""
    people = facts.run.people
    assert people is not None
    half = len(people.accounts) // 2
    for number, account in enumerate(people.accounts):
        wanted = FLAGGED[people.expired] if number < half and account.dataset == "events" else set()
        for day in account.days:
            _explained(account.dataset, day)
            flagged = {finding.kind for finding in day.findings if finding.flagged}
            _must(flagged == wanted or _lost(facts), f"7: reconcile flags {flagged} of {account.dataset}, not {wanted}")
        rows = len(facts.run.world.warehouse.rows(account.dataset))
        counted = sum(day.figures.table_rows for day in account.days)
        _must(number < half or counted == rows, f"7: reconcile counts {counted} rows of {account.dataset}, of {rows}")
        again = [one for one in account.announced if not one.why]
        _must(number < half or not again, f"7: a second repair announces again: {again}")


def _explained(dataset: str, day: Day) -> None:
    found = Counter[str]()
    for finding in day.findings:
        found[finding.equation or ""] += finding.count
    one = day.figures
    differences = {
        "raw": one.records - one.refined_rows - one.rejected,
        "refined": one.refined_rows - one.loaded,
        "table": one.brought - one.table_rows,
    }
    told = {name: found[name] for name in differences}
    _must(told == differences, f"7: {dataset}: {differences}, of which {told} are explained")


def held_back(facts: Facts) -> None:
    """I3 and I9: no command goes on with claims that are over, and none tells what a record holds."""
    people = facts.run.people
    assert people is not None
    for person in people.persons:
        _must(not person.overdue, f"I3: {person.name} went on with claims that were over: {person.overdue[:3]}")
        _must(SECRET not in person.said, f"I9: {person.name} tells what a record holds")


def _left(facts: Facts, rows: ErrorRows, thing: Thing) -> bool:
    """Whether a message waits for records of its own that failed when it was landed: they wait for people."""
    if len(thing) != 2:
        return False
    mine = {message_id for message_id, mark in facts.run.marks.items() if mark.origin == thing[1]}
    for raw_file, landed in facts.raw_files.items():
        for row, one in enumerate(landed):
            if facts.message_of(one) in mine and any(
                other[:2] == (raw_file, row) and {r["state"] for r in failures} & {*WAITING}
                for other, failures in rows.things.items()
            ):
                return True
    return False


def _lost(facts: Facts) -> bool:
    """Whether somebody lost objects: then what stood in them comes no more."""
    return bool({fault.kind for fault in facts.run.fired} & LOSSES)


def _must(holds: bool, sentence: str) -> None:  # noqa: FBT001
    if not holds:
        raise BrokenError(sentence)


promises: tuple[Callable[[Facts], None], ...] = (
    ways_back,
    fates,
    known_alike,
    letters_stay,
    rounds_end,
    adds_up,
    held_back,
)
