"""Which records of a fingerprint are counted, by their places in raw files, so that each of them counts once.

A replay judges records anew, and what still fails is told in letters that nobody has seen yet: under another
definition, and maybe fewer records in each. Letters are therefore not enough to know them by.

So much is remembered for each fingerprint: of its last raw files the places, a few bytes for each. What is forgotten
counts once more: rather more than fewer. What a round has mended is not forgotten: records that passed and that a worse
mapping rejects again, before the last of their kind is resolved, are told of by their rows alone.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from service.core.dead_letter import Place

CHARS_MAX = 128_000
"""Of all places that are remembered: 24,000 to 48,000 records, the denser the more, or 9,000 of a raw file each."""
_NAME_CHARS = 8
_MORE, _BITS = 0x80, 7
"""Of an octet of a number: whether more of it follows, and how many bits the octet has of it, the lowest first."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What a letter brought: so many failures that no other letter of its batch did. Of records also where they lie,
    and whether they had been sent back.
    """

    letter_id: str
    count: int
    raw_file: str = ""
    places: Sequence[Place] = ()
    sent_back: bool = False


class KnownRecords:
    """As `text` gave them; what is damaged in it is nobody's."""

    def __init__(self, text: str) -> None:
        self._files = dict(file.split(":", 1) for file in text.split() if ":" in file)
        self._open: dict[str, set[Place]] = {}
        """Of those files that letters have told of now, read once and packed once."""

    def fresh(self, letters: Iterable[Brought]) -> int:
        """How many of the failures in these letters count; their records are known from now on."""
        found = 0
        for one in letters:
            unknown = self._add(one.raw_file, one.places) if one.places else one.count
            found += one.count if one.sent_back else min(one.count, unknown)
        return found

    def text(self) -> str:
        """The raw files that were told of last, as many as there is room for."""
        files = self._files | {name: _packed(places) for name, places in self._open.items()}
        kept, left = list[str](), CHARS_MAX
        for name, packed in reversed(files.items()):
            file = f"{name}:{packed}"
            if len(file) < left:
                kept.append(file)
                left -= len(file) + 1
        return " ".join(reversed(kept))

    def _add(self, raw_file: str, places: Iterable[Place]) -> int:
        name = _name(raw_file)
        known = self._open.pop(name, None)
        if known is None:
            known = set(_places(self._files.pop(name, "")))
        before = len(known)
        known.update(places)
        self._open[name] = known  # the last in its order
        return len(known) - before


def _name(raw_file: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(raw_file.encode()).digest()).decode()[:_NAME_CHARS]


def _packed(places: Iterable[Place]) -> str:
    """In their order: by how much the row is greater than the one before, and the place in it."""
    packed = bytearray()
    for (before, _), (row, index) in pairwise([(0, 0), *sorted(places)]):
        for number in (row - before, index):
            left = number
            while left >= _MORE:
                packed.append(left % _MORE | _MORE)
                left >>= _BITS
            packed.append(left)
    return base64.b64encode(packed).decode()


def _places(packed: str) -> Iterator[Place]:
    numbers, row = _numbers(packed), 0
    for step, index in zip(numbers, numbers, strict=False):
        row += step
        yield row, index


def _numbers(packed: str) -> Iterator[int]:
    try:
        octets = base64.b64decode(packed)
    except ValueError:
        return
    number, shift = 0, 0
    for octet in octets:
        number |= octet % _MORE << shift
        shift += _BITS
        if octet < _MORE:
            yield number
            number, shift = 0, 0
