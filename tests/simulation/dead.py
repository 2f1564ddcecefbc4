"""What each dead letter is about, by the checker's own account: which failures, and what they have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from service.core.dead_letter import record_error_id, record_error_ids
from service.core.errors_dataset import ERRORS
from service.core.fingerprints import fingerprint
from tests.simulation.run import Run

Letter = dict[str, Any]
LAYERS: Final = {"records-dlq": "land", "refine-dlq": "refine", "load-dlq": "load"}
ERROR_FILES: Final = "s3://errors/errors/"


@dataclass(frozen=True, slots=True)
class Dead:
    """A message of a dead-letter queue. `failed_at` is None where only whoever receives it can say. `tries` are the
    same in letters that tell the same try of the same failures; nothing where no other letter can tell it.
    """

    queue: str
    message_id: str
    body: str
    error_ids: frozenset[str]
    fingerprint: str
    failed_at: datetime | None
    about_errors: bool
    bare: bool
    tries: tuple[object, ...] = ()


class DeadLetters:
    """All that ever came to a dead-letter queue."""

    def __init__(self, run: Run, letters: Mapping[str, Sequence[tuple[str, Letter]]]) -> None:
        self._run = run
        self._letters = letters

    @cached_property
    def by_id(self) -> dict[str, Dead]:
        """By message id."""
        return {dead.message_id: dead for dead in self._all()}

    def _all(self) -> Iterator[Dead]:
        for queue, found in self._letters.items():
            for message_id, letter in found:
                body = self._run.world.queues[queue].sent[message_id].body
                yield _letter(queue, message_id, body, letter)
        for message_id, (queue, stray) in self._run.strays.items():
            layer = LAYERS[queue]
            error_id = record_error_id(layer, message_id, None, "redriven", None)
            cause = fingerprint(layer, "", "redriven", None)
            yield Dead(queue, message_id, stray.body, frozenset({error_id}), cause, None, about_errors=False, bare=True)


def _letter(queue: str, message_id: str, body: str, letter: Letter) -> Dead:
    layer, dataset, code, column = (letter[name] for name in ("layer", "dataset", "code", "column"))
    original = letter.get("original", {}).get("body", "")
    about_errors = layer == "load" and (dataset == ERRORS.name or ERROR_FILES in original)
    error_ids = [letter["error_id"]]
    if "places" in letter:
        places = [(row, index) for row, index in letter["places"]]
        error_ids = record_error_ids(layer, letter["raw_file"], places, code, column)
    return Dead(
        queue,
        message_id,
        body,
        frozenset(error_ids),
        fingerprint(layer, ERRORS.name if about_errors else dataset, code, column),
        datetime.fromisoformat(letter["last_failed_at"]),
        about_errors,
        bare=False,
        tries=(*error_ids, letter["definition"], letter["attempts"], letter["round_id"]),
    )
