"""Claims on the reprocess queue: the letters whose failures are being sent back, so that they can go when that is done.

What is sent comes from the errors zone; the queue says what is still to be done, and letters hold what has gone from
there. A letter goes when everything that it is about was sent back or is resolved, and nothing of it has failed since.
All others are given back, and a letter whose claim has run out is let be: whoever sees it next decides anew.

Who looks at the whole queue claims what is his alone. The others stay hidden until the look is over, so that each is
seen once, and are given back then: of them nothing is kept but what that takes.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from sys import getsizeof

from service.core.dead_letter import Letter, read_letter, record_error_ids
from service.core.errors import RejectedError, SetupError, TransientError
from service.core.model import Message, Original
from service.core.ports import Clock, Queue

VISIBILITY_SECONDS = 300
KEEP_SECONDS = 60.0
WAIT_SECONDS = 2
EMPTY_MAX = 2
"""Long polls in a row that bring nothing: the queue has no more for us."""
CLAIMS_MAX = 50_000
GATHER_SECONDS_MAX = 180.0
"""After that the queue is left alone: what was not found in it stays for another run, or for its retention to end.
It is shorter than letters are hidden: none comes twice.
"""
SEEN_MAX = 110_000
"""Letters that a look at the whole queue receives. SQS hands out some 120,000 at once, and nothing beyond that (AWS:
in-flight messages of a standard queue), without saying so. What giving them back takes is 63 MB of memory, where a
receipt has 400 characters.
"""
KEPT_BYTES_MAX = 64 * 1024 * 1024
"""What originals from letters may take in memory; another run sends those for which there is no room."""
NO_ROOM = "its original is gone from the errors zone, and of what the reprocess queue holds no more fits: run it again"
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
        self._others: dict[str, str] = {}
        """Receipts by message id, of what a look at the whole queue has seen and does not claim."""
        self._kept: dict[str, tuple[datetime, Original]] = {}
        self._kept_bytes = 0
        self._left: set[str] = set()
        """Errors whose originals found no room."""

    def __len__(self) -> int:
        return len(self._claims)

    def original(self, error_id: str) -> Original | None:
        """What the letter brought along, if it was to be kept, was found, and does not only point to it. RejectedError
        where there was no room for it.
        """
        _, original = self._kept.get(error_id, (None, None))
        if original is None and error_id in self._left:
            raise RejectedError("too_large", NO_ROOM)
        return original

    async def gather(
        self, wanted: Collection[str], stop: Callable[[], bool], *, keep: Collection[str] = frozenset()
    ) -> None:
        """Claim what comes until all of these errors' letters are found, or the queue has no more for us. Keep the
        originals of some, as far as there is room.
        """
        missing = set(wanted)

        def take(message: Message, letter: Letter | None, expires: float) -> None:
            claim = _claim(message, letter, expires)
            self._claims[message.receipt] = claim
            missing.difference_update(_ids(claim))
            if letter is not None and letter.error_id in keep:
                self._keep(letter)

        await self._receive(take, lambda: bool(missing) and len(self) < CLAIMS_MAX and not stop())

    async def look(self, ours: Callable[[Letter], bool]) -> tuple[int, bool]:
        """Show each letter of the queue to `ours`, and claim those of which it says so. Tells how many there were, and
        whether the queue had no more for us: not where it holds more than one look receives.
        """

        def take(message: Message, letter: Letter | None, expires: float) -> None:
            if letter is not None and ours(letter):
                self._claims[message.receipt] = _claim(message, letter, expires)
            else:
                self._others[message.message_id] = message.receipt

        def more() -> bool:
            return len(self) < CLAIMS_MAX and len(self) + len(self._others) < SEEN_MAX

        began = self._clock.monotonic()
        ended = await self._receive(take, more)
        seen, others = len(self) + len(self._others), [*self._others.values()]
        self._others.clear()
        if self._clock.monotonic() - began < VISIBILITY_SECONDS:  # later, somebody else may have them
            await self._hide(others)
        return seen, ended

    async def _receive(self, take: Callable[[Message, Letter | None, float], None], more: Callable[[], bool]) -> bool:
        """Receive as long as there is `more` to do, but not too long; says whether the queue has no more for us."""
        empty, until = 0, self._clock.monotonic() + GATHER_SECONDS_MAX
        while more() and empty < EMPTY_MAX and (asked := self._clock.monotonic()) < until:
            messages = await self._queue.receive(wait_seconds=WAIT_SECONDS, visibility_seconds=VISIBILITY_SECONDS)
            empty = 0 if messages else empty + 1
            for message in messages:
                take(message, read_letter(message.body), asked + VISIBILITY_SECONDS)
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
        receipts = [*self._claims, *self._others.values()]
        self._claims.clear()
        self._others.clear()
        await self._hide(receipts)

    async def _hide(self, receipts: Sequence[str]) -> None:
        if receipts:
            with suppress(TransientError, SetupError):
                await self._queue.hide(receipts, 0)

    def _keep(self, letter: Letter) -> None:
        """Of several about one failure the latest."""
        if letter.original is None:
            return
        failed_at, known = self._kept.get(letter.error_id, (letter.last_failed_at, None))
        if known is not None and failed_at >= letter.last_failed_at:
            return
        size = _size_bytes(letter.original) - (0 if known is None else _size_bytes(known))
        if self._kept_bytes + size <= KEPT_BYTES_MAX:
            self._kept[letter.error_id] = letter.last_failed_at, letter.original
            self._kept_bytes += size
        else:
            self._left.add(letter.error_id)

    def _let_go(self) -> None:
        now = self._clock.monotonic()
        self._claims = {receipt: claim for receipt, claim in self._claims.items() if claim.expires > now}


def _claim(message: Message, letter: Letter | None, expires: float) -> _Claim:
    if letter is None:  # none of ours: it is nobody's error, so it is given back
        return _Claim("", message.received_at, expires)
    return _Claim(_packed(letter), letter.last_failed_at, expires)


def _size_bytes(original: Original) -> int:
    """In memory, about."""
    return getsizeof(original.body) + sum(attribute.size_bytes for attribute in original.attributes.values())


def _packed(letter: Letter) -> str | bytes:
    if letter.raw_file is None:
        return letter.error_id
    ids = record_error_ids(letter.layer, letter.raw_file, letter.places, letter.code, letter.column)
    return b"".join(map(bytes.fromhex, ids))


def _ids(claim: _Claim) -> Iterator[str]:
    packed = claim.error_ids
    if isinstance(packed, str):
        yield packed
    else:
        yield from (packed[at : at + _DIGEST_BYTES].hex() for at in range(0, len(packed), _DIGEST_BYTES))


def _settled(claim: _Claim, done: Mapping[str, datetime]) -> bool:
    return all((failed_at := done.get(one)) is not None and failed_at >= claim.failed_at for one in _ids(claim))
