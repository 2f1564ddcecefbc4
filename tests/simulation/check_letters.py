"""What is promised of dead letters: rows, copies, counts and mails; looked at where the quarantine layer runs."""

import json
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from service.core.errors_dataset import ERRORS
from service.core.notice import FileNotice
from service.core.zones import Zone
from service.quarantine.states import PREFIX, State
from tests.simulation.dead import Dead
from tests.simulation.facts import Facts, Row
from tests.simulation.mail import mailbox, states
from tests.simulation.producers import SECRET
from tests.simulation.run import BrokenError
from tests.simulation.setups import MAIL_REPEAT_SECONDS

FINGERPRINTS = Zone.parse("errors", "s3://errors").uri(PREFIX)
HOUR_SECONDS = 3_600.0
MORE_THAN_NAMED = "which the list shows"
"""A mail with more causes than it names says so."""


def rows(facts: Facts) -> None:
    """Every failure is one error row, in its latest version; those about error files make none."""
    if not facts.run.plan.quarantined:
        return
    found = {row["error_id"]: row for row in facts.run.world.warehouse.rows(ERRORS.name)}
    given_up = set() if facts.run.setup.mends else facts.given_up_refined & _error_files(facts)
    unloaded = {row["error_id"] for uri in given_up for row in facts.rows(uri)}
    wanted: dict[str, list[Dead]] = defaultdict(list)
    for dead in facts.dead.by_id.values():
        for error_id in () if dead.about_errors else dead.error_ids:
            wanted[error_id].append(dead)
    missing = wanted.keys() - found.keys() - unloaded
    _must(not missing, f"L1: failures without an error row: {sorted(missing)}")
    _must(found.keys() <= wanted.keys(), f"L1: error rows without a failure: {sorted(found.keys() - wanted.keys())}")
    for error_id, reports in wanted.items():
        if error_id not in found or error_id in unloaded:
            continue
        row, moments = found[error_id], [one.failed_at.replace(tzinfo=None) for one in reports if one.failed_at]
        _must(row["fingerprint"] == reports[0].fingerprint, f"L1: {error_id} stands under another fingerprint")
        _must(
            not moments or row["updated_at"] == max(moments) or row["state"] != "open",
            f"L1: {error_id} is not as it failed last",
        )


def copies(facts: Facts) -> None:
    """Each dead letter is on the reprocess queue with all that it holds."""
    if not facts.run.plan.quarantined:
        return
    bodies = {body for _, body in facts.sent("reprocess")}
    bare = {_bare(body) for body in bodies}
    for dead in facts.dead.by_id.values():
        there = dead.body in bare if dead.bare else dead.body in bodies
        _must(there, f"L2: {dead.message_id} has no copy on the reprocess queue")


def counts(facts: Facts) -> None:
    """Of each fingerprint at least the failures that there are are counted, and no letter's twice."""
    if not facts.run.plan.quarantined:
        return
    error_ids: dict[str, set[str]] = defaultdict(set)
    told: dict[str, dict[object, int]] = defaultdict(dict)
    for dead in facts.dead.by_id.values():
        error_ids[dead.fingerprint] |= dead.error_ids
        told[dead.fingerprint][dead.tries or dead.error_ids] = len(dead.error_ids)
    counted = {state.fingerprint: state.failed for state in states(facts.run.world.store.objects)}
    _must(counted.keys() == error_ids.keys(), f"L3: counted are {sorted(counted)}, failed have {sorted(error_ids)}")
    for cause, failed in counted.items():
        fewest, most = len(error_ids[cause]), sum(told[cause].values())
        _must(fewest <= failed <= most, f"L3: {failed} of {cause} are counted, and {fewest} to {most} are told of")


def mails(facts: Facts) -> None:
    """Each cause is told, none twice but where nobody could know, and never more mails an hour than allowed."""
    if not facts.run.plan.quarantined:
        return
    asked, hour_max = facts.run.mails, facts.run.setup.calm.mails_hour_max
    for number, (at, _) in enumerate(asked):
        lately = sum(1 for earlier, _ in asked[: number + 1] if at - earlier < HOUR_SECONDS)
        _must(lately <= hour_max, f"L4: {lately} mails in an hour, of which {hour_max} are allowed")
    sent = [text for _, text in facts.run.arrived]
    _must(not any(SECRET in text for _, text in asked), "I9: a mail quotes a record")
    claimed = len(mailbox(facts.run.world.store.objects).mails)
    full = claimed >= hour_max or any(MORE_THAN_NAMED in text for text in sent)
    about_errors = {dead.fingerprint for dead in facts.dead.by_id.values() if dead.about_errors}
    for state in states(facts.run.world.store.objects):
        named = any(state.fingerprint in text for text in sent)
        _must(named or full or state.fingerprint in about_errors, f"L4: nobody was mailed about {state.fingerprint}")
        too_soon = sum(later - earlier < MAIL_REPEAT_SECONDS for earlier, later in pairwise(_told(facts, state)))
        _must(
            too_soon <= facts.run.interruptions, f"L4: {state.fingerprint} was mailed again {too_soon} times too soon"
        )


def settled_last(facts: Facts) -> None:
    """A dead letter is deleted after its rows are announced, it is counted, and its copy is on its way."""
    if not facts.run.plan.quarantined:
        return
    seen = _Seen(facts)
    for effect, details in facts.effects:
        seen.take(effect, details)


class _Seen:
    """What is durable so far, as the journal is read from its beginning."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._copied: set[str] = set()
        self._announced: set[str] = set()
        self._stored: set[str] = set()
        self._counted: dict[str, int] = {}
        self._deleted: dict[str, set[str]] = defaultdict(set)

    def take(self, effect: str, details: Iterable[str]) -> None:
        """One more effect."""
        queue, _, verb = effect.partition(" ")
        queues = self._facts.run.world.queues
        if verb.startswith("errors ") and queue == "put":
            self._stored.add(next(iter(details)))
        elif effect.startswith("replace errors fingerprints"):
            uri, etag = details
            self._count(uri, self._facts.run.versions[uri, etag])
        elif queue in queues and verb.startswith("send "):
            for message_id in details:
                self._sent(queue, queues[queue].sent[message_id].body)
        elif queue.endswith("-dlq") and verb.startswith("delete "):
            for message_id in details:
                self._delete(self._facts.dead.by_id[message_id])

    def _count(self, uri: str, body: bytes) -> None:
        if uri.startswith(FINGERPRINTS) and (state := State.from_json(body)) is not None:
            self._counted[state.fingerprint] = state.failed

    def _sent(self, queue: str, body: str) -> None:
        if queue == "reprocess":
            self._copied |= {body, _bare(body)}
        elif queue == "load":
            notice = FileNotice.from_json(body)
            for file in notice.files if notice.dataset == ERRORS.name else ():
                self._announce(self._facts.rows(file.uri))

    def _announce(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._announced.add(row["error_id"])
            where = row["original_uri"]
            _must(where is None or where in self._stored, f"L5: {row['error_id']} was told of before its original lay")

    def _delete(self, dead: Dead) -> None:
        self._deleted[dead.fingerprint] |= dead.error_ids
        known = dead.about_errors or dead.error_ids <= self._announced
        counted = self._counted.get(dead.fingerprint, 0) >= len(self._deleted[dead.fingerprint])
        _must(known, f"L5: {dead.message_id} was deleted before its error rows were announced")
        _must(counted, f"L5: {dead.message_id} was deleted before it was counted")
        _must(dead.body in self._copied, f"L5: {dead.message_id} was deleted before its copy was sent")


def _told(facts: Facts, state: State) -> list[float]:
    return [at for at, text in facts.run.arrived if state.fingerprint in text]


def _error_files(facts: Facts) -> set[str]:
    return {file.uri for _, notice in facts.notices("load") for file in notice.files if notice.dataset == ERRORS.name}


def _bare(copy: str) -> str:
    """The body of the message in a copy; nothing where the copy is about records, or points elsewhere."""
    original = json.loads(copy).get("original", {})
    return str(original.get("body", ""))


def _must(kept: bool, otherwise: str) -> None:  # noqa: FBT001 (reads as a sentence)
    if not kept:
        raise BrokenError(otherwise)
