"""Dead letters on their way to the queue, the large ones as a pointer.

Durable effects, in this order: original stored in the errors zone (only where it is too large for a message) → letter
sent. A crash in between leaves an object that the next try finds and points to: its name is the letter's error id.
"""

import json
from collections.abc import Sequence

from service.core.dead_letter import LETTER_BYTES_MAX, DeadLetter
from service.core.model import Original, Outgoing
from service.core.ports import ObjectStore, Queue
from service.core.zones import Zone, original_key


class DeadLetters:
    """The `Letters` port of one layer."""

    def __init__(self, queue: Queue, *, store: ObjectStore, errors: Zone) -> None:
        self._queue = queue
        self._store = store
        self._errors = errors

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send all of them; raises when even one was not taken."""
        if letters:
            await self._queue.send([await self._outgoing(letter) for letter in letters])

    async def _outgoing(self, letter: DeadLetter) -> Outgoing:
        outgoing = letter.outgoing()
        if letter.original is None or len(outgoing.body.encode("utf-8", "surrogatepass")) <= LETTER_BYTES_MAX:
            return outgoing
        body = json.dumps(Original.of(letter.original).as_json(), ensure_ascii=False).encode("utf-8", "surrogatepass")
        stored = await self._store.put_new(self._errors.uri(original_key(letter.failed_at, letter.error_id)), body)
        return letter.outgoing(pointer=stored.uri)
