"""Claims on the reprocess queue: the letters whose failures are being sent back, so that they can go when that is done.

What is sent comes from the errors zone; the queue says what is still to be done. A letter goes when everything that it
is about was sent back or is resolved, and nothing of it has failed since. All others are given back, and a letter whose
claim has run out is let be: whoever sees it next decides anew.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from service.core.dead_letter import Letter, read_letter, record_error_ids
from service.core.errors import SetupError, TransientError
from service.core.model import Message
from service.core.ports import Clock, Queue

VISIBILITY_SECONDS = 300
KEEP_SECONDS = 60.0
WAIT_SECONDS = 2
EMPTY_MAX = 2
"""Long polls in a row that bring nothing: the queue has no more for us."""
CLAIMS_MAX = 50_000
GATHER_SECONDS_MAX = 180.0
"""After that the queue is left alone: what was not found in it stays for another run, or for its retention to end."""
_DIGEST_BYTES = 16


@dataclass(slots=True)
class _Claim:
    """`error_ids` of records are packed: a letter may be about 10,000 of them."""

    error_ids: str | bytes
    failed_at: datetime
    expires: float


class Claims:
    """The letters that one run holds."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._claims: dict[str, _Claim] = {}

    def __len__(self) -> int:
        return len(self._claims)

    async def gather(
        self, wanted: Collection[str] | None, stop: Callable[[], bool], seen: Callable[[Letter], None] = lambda _: None
    ) -> bool:
        """Receive until all of these errors' letters are found (None: of all), or the queue has no more for us; says
        whether it has no more. Each letter is shown to `seen`.
        """
        missing, empty = set(wanted or ()), 0
        until = self._clock.monotonic() + GATHER_SECONDS_MAX
        while (missing or wanted is None) and empty < EMPTY_MAX and len(self) < CLAIMS_MAX and not stop():
            asked = self._clock.monotonic()
            if asked >= until:
                break
            messages = await self._queue.receive(wait_seconds=WAIT_SECONDS, visibility_seconds=VISIBILITY_SECONDS)
            empty = 0 if messages else empty + 1
            for message in messages:
                letter = read_letter(message.body)
                claim = _claim(message, letter, asked + VISIBILITY_SECONDS)
                self._claims[message.receipt] = claim
                missing.difference_update(_ids(claim))
                if letter is not None:
                    seen(letter)
            await self.keep()
        return empty >= EMPTY_MAX

    async def keep(self) -> None:
        """Have more time for what has gone a good part of it. To be called at least every minute.

        While the queue cannot be asked, claims may run out: that costs nothing but letters that stay.
        """
        now = self._clock.monotonic()
        self._let_go()
        stale = [one for one, claim in self._claims.items() if claim.expires - now < VISIBILITY_SECONDS - KEEP_SECONDS]
        if not stale:
            return
        with suppress(TransientError, SetupError):
            failed = set(await self._queue.hide(stale, VISIBILITY_SECONDS))
            self._let_go()  # an answer that came too late proves nothing
            for receipt in stale:
                if receipt not in failed and receipt in self._claims:
                    self._claims[receipt].expires = now + VISIBILITY_SECONDS

    async def settle(self, done: Mapping[str, datetime]) -> int:
        """Delete the letters that are all about these errors, and no younger than that; gives how many went."""
        self._let_go()
        settled = [receipt for receipt, claim in self._claims.items() if _settled(claim, done)]
        if settled:
            failed = set(await self._queue.delete(settled))
            for receipt in settled:
                del self._claims[receipt]
            return len(settled) - len(failed)
        return 0

    async def give_back(self) -> None:
        """All that is still held comes again at once; where the queue cannot be asked, when its visibility ends."""
        self._let_go()
        receipts = [*self._claims]
        self._claims.clear()
        if receipts:
            with suppress(TransientError, SetupError):
                await self._queue.hide(receipts, 0)

    def _let_go(self) -> None:
        now = self._clock.monotonic()
        self._claims = {receipt: claim for receipt, claim in self._claims.items() if claim.expires > now}


def _claim(message: Message, letter: Letter | None, expires: float) -> _Claim:
    if letter is None:  # none of ours: it is nobody's error, so it is given back
        return _Claim("", message.received_at, expires)
    return _Claim(_packed(letter), letter.last_failed_at, expires)


def _packed(letter: Letter) -> str | bytes:
    if letter.raw_file is None:
        return letter.error_id
    ids = record_error_ids(letter.layer, letter.raw_file, letter.places, letter.code, letter.column, letter.definition)
    return b"".join(map(bytes.fromhex, ids))


def _ids(claim: _Claim) -> Iterator[str]:
    packed = claim.error_ids
    if isinstance(packed, str):
        yield packed
    else:
        yield from (packed[at : at + _DIGEST_BYTES].hex() for at in range(0, len(packed), _DIGEST_BYTES))


def _settled(claim: _Claim, done: Mapping[str, datetime]) -> bool:
    return all((failed_at := done.get(one)) is not None and failed_at >= claim.failed_at for one in _ids(claim))
