"""What comes out of a dead-letter queue, as failures: every message becomes exactly one, whatever it holds.

Our own letters say what failed and why. What SQS itself moved after too many receives comes bare: its code is
`redriven`, and the layer's own checks give a guess why. What claims to be a letter and is none that we would have
written is taken for bare too: nothing in it is believed, and all of it is kept.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from service.core.datasets import NAME, Dataset
from service.core.dead_letter import LETTER_BYTES_MAX, DeadLetter, Letter, Place, read_letter, rejected_message
from service.core.errors import Code, RejectedError
from service.core.errors_dataset import ERRORS
from service.core.fingerprints import fingerprint
from service.core.model import DATASET_ATTRIBUTE, Message, Original, Outgoing, utf8_bytes
from service.core.moments import EARLIEST, first_of
from service.core.notice import FileNotice
from service.core.zones import Zone, raw_place
from service.quarantine.states import LETTER_ID_CHARS

Source = Literal["land", "refine", "load"]
LAYERS: frozenset[str] = frozenset({"land", "refine", "load"})
"""Whose dead letters there are."""
Check = Callable[[Message], RejectedError | None]
"""What a layer finds wrong with a message of its queue. Never waits."""
Checks = Mapping[Source, Check]
ORIGINALS = "originals/"
"""Under this in the errors zone lies what was too large for its letter."""
RECEIVES_READ_MAX = 10
"""A letter of ours that comes more often may be what kills its readers: the raw file that it names is not opened.

What SQS moved brings its receives along (AWS: ApproximateReceiveCount), but names nothing that would be opened.
"""
CLOCKS_DIFFER_MAX = timedelta(days=1)
"""What failed later than so much from now was not written down by a layer of ours."""
_PLACES = '"places":[['
_ERROR_ID = re.compile(r"[!-~]{1,64}")

_MOVED = "SQS moved the message here, because it was received too often and never done"
_SOUND = f"{_MOVED}; the layer's own checks find nothing wrong with it"
_UNCHECKED = f"{_MOVED}; the layer's own checks cannot be run on it"


@dataclass(frozen=True, slots=True)
class Failure:
    """One dead letter, understood. Records have `raw_file` and `places`, a message has `original` or `original_uri`,
    and a notice that refine could not work on has `about_file`, the one raw file that it names.

    Moments are UTC. `letter_id` tells the letter, however often it was written and received. `outgoing` is what goes on
    the reprocess queue; `pointed` takes its place where that is too large, and gives the message that only points to
    where the original lies.
    """

    error_id: str
    letter_id: str
    layer: str
    dataset: str
    code: Code
    sentence: str
    field: str | None
    definition: str
    first_failed_at: datetime
    last_failed_at: datetime
    attempts: int
    round_id: str
    raw_file: str | None
    places: Sequence[Place]
    original: Original | None
    original_uri: str | None
    about_errors: bool
    outgoing: Outgoing
    pointed: Callable[[str], Outgoing] | None = None
    opened: bool = True
    """Whether the raw file is looked into, for what the records hold."""
    about_file: str | None = None

    @property
    def fingerprint(self) -> str:
        """What it has in common with others of its kind."""
        return fingerprint(self.layer, self.dataset, self.code, self.field)

    def on_its_way(self, original_uri: str) -> Outgoing:
        """The message for the reprocess queue, where the original lies at that address."""
        return self.outgoing if self.pointed is None else self.pointed(original_uri)


class Arrivals:
    """Reads what comes out of one layer's dead-letter queue."""

    def __init__(
        self, source: Source, *, zones: tuple[Zone, Zone], datasets: Mapping[str, Dataset], check: Check
    ) -> None:
        self._source = source
        self._raw, self._errors = zones
        self._datasets = datasets
        self._check = check

    def records(self, message: Message) -> int:
        """How many records the message is about, at least one. Quick for our own letters, which name places last."""
        at = message.body.rfind(_PLACES)
        if at >= 0:
            return 1 + message.body.count("],[", at)
        letter = self._letter(message)
        return max(1, len(letter.places)) if letter is not None else 1

    def failure(self, message: Message) -> Failure:
        """What the message tells. Raises nothing that a message can cause."""
        letter = self._letter(message)
        return self._told(letter, message) if letter is not None else self._bare(message)

    def _letter(self, message: Message) -> Letter | None:
        """The letter in the message, if it is one that a layer of ours would have written."""
        letter = read_letter(message.body)
        if letter is None or letter.layer not in LAYERS or not _ERROR_ID.fullmatch(letter.error_id):
            return None
        if letter.dataset and not NAME.fullmatch(letter.dataset):
            return None
        return letter if self._grounded(letter) and _timely(letter, message.received_at) else None

    def _grounded(self, letter: Letter) -> bool:
        """Whether what it is about is in it, or lies where we put such things: nothing else is ever read."""
        if letter.original is not None:
            return True
        if letter.original_uri is not None:
            return self._errors.holds(letter.original_uri) and letter.original_uri.startswith(
                self._errors.uri(ORIGINALS)
            )
        try:
            return letter.raw_file is not None and bool(raw_place(self._raw, letter.raw_file)) and bool(letter.places)
        except RejectedError:
            return False

    def _told(self, letter: Letter, message: Message) -> Failure:
        first, last = _utc(letter.first_failed_at), _utc(letter.last_failed_at)
        assert first is not None, "letters of other times are taken for bare"
        assert last is not None, "letters of other times are taken for bare"
        about_errors = is_about_errors(self._errors, letter.layer, letter.dataset, letter.original)
        return Failure(
            error_id=letter.error_id,
            letter_id=_letter_id(letter),
            layer=letter.layer,
            dataset=ERRORS.name if about_errors else letter.dataset,
            code=letter.code,
            sentence=letter.sentence,
            field=letter.column,
            definition=letter.definition,
            first_failed_at=min(first, last),
            last_failed_at=last,
            attempts=letter.attempts,
            round_id=letter.round_id,
            raw_file=letter.raw_file,
            places=letter.places,
            original=letter.original,
            original_uri=letter.original_uri,
            about_errors=about_errors,
            outgoing=Outgoing(message.body, message.attributes),
            opened=message.receive_count <= RECEIVES_READ_MAX,
            about_file=self._about_file(letter.layer, letter.original),
        )

    def _bare(self, message: Message) -> Failure:
        dataset = self._dataset(message)
        about_errors = is_about_errors(self._errors, self._source, dataset, Original.of(message))
        dataset = ERRORS.name if about_errors else dataset
        wrong = RejectedError("redriven", self._guess(message))
        letter = rejected_message(self._source, dataset, message, wrong, message.received_at)
        outgoing = letter.outgoing()
        return Failure(
            error_id=letter.error_id,
            letter_id=_letter_id(letter),
            layer=letter.layer,
            dataset=dataset,
            code=letter.code,
            sentence=letter.sentence,
            field=None,
            definition=letter.definition,
            first_failed_at=first_of(letter.first_failed_at, message.received_at),
            last_failed_at=message.received_at,
            attempts=letter.attempts,
            round_id=letter.round_id,
            raw_file=None,
            places=(),
            original=Original.of(message),
            original_uri=None,
            about_errors=about_errors,
            outgoing=outgoing,
            about_file=self._about_file(self._source, Original.of(message)),
            pointed=letter.outgoing if utf8_bytes(outgoing.body) > LETTER_BYTES_MAX else None,
        )

    def _guess(self, message: Message) -> str:
        try:
            wrong = self._check(message)
        except Exception:  # noqa: BLE001 (a guess is a courtesy: no fault of it keeps a message from being stored)
            return _UNCHECKED
        return _SOUND if wrong is None else f"{_MOVED}; the layer's own checks say {wrong.code}: {wrong.sentence}"

    def _dataset(self, message: Message) -> str:
        """Whose it is, if that is a dataset of ours: a closed set, because it is part of fingerprints."""
        if self._source == "land":
            told = message.text(DATASET_ATTRIBUTE) or ""
        else:
            try:
                told = FileNotice.from_json(message.body).dataset
            except RejectedError:
                told = ""
        return told if told in self._datasets else ""

    def _about_file(self, layer: str, original: Original | None) -> str | None:
        """The raw file that stays unrefined as a whole, because its notice failed."""
        if layer != "refine" or original is None:
            return None
        try:
            notice = FileNotice.from_json(original.body)
            uris = [file.uri for file in notice.files if raw_place(self._raw, file.uri).dataset == notice.dataset]
        except RejectedError:
            return None
        return uris[0] if len(uris) == len(notice.files) == 1 else None


def is_about_errors(errors: Zone, layer: str, dataset: str, original: Original | None) -> bool:
    """Whether an error file could not be loaded: also where a loader of an older version knew no such dataset."""
    if layer != "load":
        return False
    return dataset == ERRORS.name or (original is not None and errors.uri(f"{ERRORS.name}/") in original.body)


def _letter_id(letter: Letter | DeadLetter) -> str:
    """The same for the same try of the same failures. The moment is not in it: a layer that died writes it anew."""
    kind = [letter.layer, letter.dataset, letter.code, letter.column, letter.definition]
    facts = [*kind, letter.error_id, letter.attempts, letter.round_id, letter.places]
    digest = hashlib.sha256(json.dumps(facts).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:LETTER_ID_CHARS]


def _timely(letter: Letter, now: datetime) -> bool:
    """Whether its moments are such that something of ours can have failed then, and files and tables hold them."""
    if letter.original is not None and _utc(letter.original.sent_at) is None:
        return False
    moments = _utc(letter.first_failed_at), _utc(letter.last_failed_at)
    return all(moment is not None and EARLIEST <= moment <= now + CLOCKS_DIFFER_MAX for moment in moments)


def _utc(moment: datetime) -> datetime | None:
    """The moment; None for one that only another zone has."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return None
