"""The records of a raw file that are sent back: they alone are judged again, and keep their places."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

from service.core.dead_letter import Place
from service.core.errors import RejectedError
from service.core.notice import WHOLE_MESSAGE
from service.refine.open import Opened

ABSENT = "the notice names records that its raw file does not have"


@dataclass(frozen=True, slots=True)
class Chosen:
    """`rows` of the raw file, ascending; `places` as a notice gives them."""

    rows: Sequence[int]
    places: frozenset[Place]

    @classmethod
    def of(cls, places: Iterable[Place], rows: int) -> "Chosen":
        """What is chosen of a raw file of so many rows; raises RejectedError (`bad_notice`) for what lies beyond."""
        found = frozenset(places)
        chosen = sorted({row for row, _ in found})
        if chosen and chosen[-1] >= rows:
            raise RejectedError("bad_notice", ABSENT)
        return cls(chosen, found)

    def keep(self, opened: Opened) -> None:
        """Leave in `opened`, whose rows count the chosen ones, only what is chosen; raises like `of`.

        A message that cannot be opened at all stays, whichever of its records is meant: else nobody would hear of them.
        """
        whole = {row for row, index in self.places if index == WHOLE_MESSAGE}
        shut = self._shut(opened)

        def chosen(row: int, index: int) -> bool:
            place = (self.rows[row], index)
            return place in self.places or place[0] in whole or place[0] in shut

        fits = [chosen(*place) for place in zip(opened.rows, opened.indexes, strict=True)]
        opened.rows, opened.indexes = list(compress(opened.rows, fits)), list(compress(opened.indexes, fits))
        opened.records = list(compress(opened.records, fits))
        opened.wrong = [(row, index, code) for row, index, code in opened.wrong if chosen(row, index)]
        there = {*zip(opened.rows, opened.indexes, strict=True), *((row, index) for row, index, _ in opened.wrong)}
        found = set(self.places_of(there))
        if any(place not in found and place[0] not in shut and place[1] != WHOLE_MESSAGE for place in self.places):
            raise RejectedError("bad_notice", ABSENT)

    def places_of(self, places: Iterable[Place]) -> list[Place]:
        """Places among the chosen rows as places of the raw file."""
        return [(self.rows[row], index) for row, index in places]

    def _shut(self, opened: Opened) -> set[int]:
        """Rows of which nothing is known but one fault."""
        faults = Counter(row for row, _, _ in opened.wrong)
        return {self.rows[row] for row in faults.keys() - {*opened.rows} if faults[row] == 1}
