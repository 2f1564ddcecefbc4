"""What goes back: a message as it was, with a mark, or a notice about records of a raw file.

A parcel is one message for the queue on which its items failed. What cannot be sent is told, with the reason.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.core.dead_letter import PLACES_MAX, Place
from service.core.errors import RejectedError
from service.core.marks import Mark, origin_of
from service.core.model import Original, Outgoing
from service.core.moments import EARLIEST, naive
from service.core.notice import WHOLE_MESSAGE, FileNotice, rows_to_replay
from service.core.send_back import send_back
from service.core.slices import slices
from service.core.zones import batch_of
from service.quarantine.reprocess.rehearse import OriginalsReader, Specimen
from service.quarantine.reprocess.rounds import Awaited, SentItem, sent_item
from service.quarantine.reprocess.table import Item
from service.quarantine.reprocess.tools import NoticeOf

GONE = "its original is gone from the errors zone"
InHand = Callable[[str], Original | None]
"""What a letter in hand brought along, by its error id. Raises RejectedError where another run would have it."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message to send, and the items that it is about, each with what a round keeps of it."""

    layer: str
    outgoing: Outgoing
    items: Sequence[tuple[Item, SentItem]]


@dataclass(frozen=True, slots=True)
class Refused:
    """Items that cannot be sent."""

    items: Sequence[Item]
    why: str


@dataclass(frozen=True, slots=True)
class _Alike:
    """What records share that one notice can tell of: each of them fails again with the facts of its own past.

    Rows that others have written may tell of moments that no notice and no mark holds.
    """

    raw_file: str
    dataset: str
    tried: int
    first_failed_at: datetime

    @classmethod
    def of(cls, item: Item) -> "_Alike":
        assert item.raw_file is not None, "records lie in a raw file"
        return cls(item.raw_file, item.dataset, item.tried, max(item.first_failed_at, EARLIEST))


class Parcels:
    """Makes them, for one round. What is no longer among the originals may still be `in_hand`."""

    def __init__(
        self, round_id: str, originals: OriginalsReader, notice_of: NoticeOf, *, in_hand: InHand = lambda _: None
    ) -> None:
        self._in_hand = in_hand
        self._round_id = round_id
        self._originals = originals
        self._notice_of = notice_of

    async def of(self, items: Sequence[Item]) -> AsyncIterator[Parcel | Refused]:
        """All of them; an original or a raw file's footer is in memory at a time."""
        alike: dict[_Alike, list[Item]] = {}
        for item in items:
            if item.row_index is not None:
                alike.setdefault(_Alike.of(item), []).append(item)
        for what, same in alike.items():
            for some in slices(same, PLACES_MAX):
                yield await self._records(what, some)
        async for item, specimen in self._originals.of(item for item in items if item.row_index is None):
            yield self._message(item, specimen)

    async def _records(self, what: _Alike, items: Sequence[Item]) -> Parcel | Refused:
        try:
            notice = await self._notice_of(what.dataset, what.raw_file)
        except RejectedError as wrong:
            return Refused(items, wrong.sentence)
        places = [_place(item) for item in items]
        rows = tuple(dict.fromkeys(places))
        told = replace(
            notice, rows=rows, attempt=what.tried, round_id=self._round_id, first_failed_at=what.first_failed_at
        )
        awaited = [Awaited(what.dataset, notice.batch_id, moment=naive(notice.produced_at))]
        sent = [
            (item, sent_item(item, whole=index == WHOLE_MESSAGE, awaited=awaited))
            for item, (_, index) in zip(items, places, strict=True)
        ]
        return Parcel("refine", Outgoing(told.to_json()), sent)

    def _message(self, item: Item, specimen: Specimen | None) -> Parcel | Refused:
        try:
            original = self._in_hand(item.error_id) if specimen is None else specimen.original
            if original is None:
                return Refused([item], GONE)
            origin = origin_of(original)
            mark = Mark(item.error_id, origin, item.tried, self._round_id, max(item.first_failed_at, EARLIEST))
            outgoing = send_back(original, mark)
        except RejectedError as wrong:
            return Refused([item], wrong.sentence)
        whole = replace(item, raw_file=None)  # a round keeps the file of what lies in it
        sent = sent_item(whole, awaited=[*_awaited(item.layer, original.body)], origin=origin)
        return Parcel(item.layer, outgoing, [(item, sent)])


def _place(item: Item) -> Place:
    assert item.row_index is not None, "records have places"
    assert item.record_index is not None, "records have places"
    [place] = rows_to_replay(item.code, item.field, [(item.row_index, item.record_index)])
    return place


def _awaited(layer: str, body: str) -> Iterator[Awaited]:
    """What a notice brings when it passes; nobody can tell of what is no notice."""
    if layer == "land":
        return
    try:
        notice = FileNotice.from_json(body)
    except RejectedError:
        return
    if layer == "load":
        yield Awaited(notice.dataset, notice.batch_id, tuple(file.uri for file in notice.files))
    else:
        moment = naive(notice.produced_at) if notice.rows else None
        yield from (Awaited(notice.dataset, batch_of(file.uri), moment=moment) for file in notice.files)
