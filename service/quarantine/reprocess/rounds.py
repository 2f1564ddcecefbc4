"""A round of reprocessing, as it stands in the errors zone: what was sent back together, and whether it is over.

`rounds/<round id>.json` is the round; it changes by compare-and-set. `rounds/<round id>/<number>.json` are its
portions: what was sent, each written once, right after the sending.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from service.core.errors import SetupError
from service.core.ports import Listed, Means
from service.core.zones import Zone
from service.quarantine.reprocess.table import Item
from service.quarantine.states import amend

VERSION = 1
PREFIX = "rounds/"
ROUND_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{16}")
_PORTION = re.compile(rf"({ROUND_ID.pattern})/\d+\.json")
_ROUND = re.compile(rf"({ROUND_ID.pattern})\.json")

Stage = Literal["sending", "sent", "over"]
"""Of a round: it is being sent; all was sent and announced; nothing more is to be expected of it."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What must be in the ledger: these very files; or every file that came of the notice of that `moment` about
    records of the batch; where neither is told, every file of the batch, one of them since the round began.

    The moment is as ledgers have it: UTC without a zone, in microseconds. Rounds of older versions tell none.
    """

    dataset: str
    batch_id: str
    uris: tuple[str, ...] = ()
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class SentItem:
    """What was sent as one: `error_ids` are its error rows. `whole` says that a message went of which one place failed,
    `awaited` is what must be loaded; a message of the records queue names nothing, land's marks say where it came to.
    """

    error_ids: tuple[str, ...]
    fingerprint: str
    layer: str
    raw_file: str | None = None
    row_index: int | None = None
    record_index: int | None = None
    origin: str | None = None
    whole: bool = False
    awaited: tuple[Awaited, ...] = ()


@dataclass(frozen=True, slots=True)
class Portion:
    """Sent together, and the error files that say so. One without items parked what had been tried too often."""

    number: int
    items: Sequence[SentItem]
    uris: Sequence[str]

    def to_json(self) -> bytes:
        """The object's body."""
        given = {"v": VERSION, **asdict(self)}
        return json.dumps(given, default=_moment_out, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, body: bytes) -> "Portion":
        """The reverse; raises ValueError, TypeError or KeyError where `to_json` did not write that."""
        given = json.loads(body)
        if given["v"] != VERSION:
            raise ValueError("of another version")
        return cls(given["number"], [_sent(one) for one in given["items"]], given["uris"])


@dataclass(frozen=True, slots=True)
class Round:
    """`since` is the day of its oldest failure. `owed` are error files that may not have been announced yet."""

    round_id: str
    began_at: datetime
    since: date
    stage: Stage = "sending"
    owed: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The object's body."""
        given = {**asdict(self), "began_at": self.began_at.isoformat(), "since": self.since.isoformat()}
        return json.dumps({"v": VERSION, **given}, indent=1).encode()

    @classmethod
    def from_json(cls, body: bytes) -> "Round":
        """The reverse; raises ValueError, TypeError or KeyError where `to_json` did not write that."""
        given = json.loads(body)
        if given["v"] != VERSION or given["stage"] not in get_args(Stage):
            raise ValueError("of another version")
        began_at, since = datetime.fromisoformat(given["began_at"]), date.fromisoformat(given["since"])
        return cls(given["round_id"], began_at.astimezone(UTC), since, given["stage"], tuple(given["owed"]))


def round_id_of(began_at: datetime, token: str) -> str:
    """A new round's id: time-ordered, then 16 hexadecimal digits that no other round has."""
    return f"{began_at:%Y%m%dT%H%M%S}{began_at.microsecond // 1000:03d}Z-{token}"


def sent_item(
    item: Item, *, whole: bool = False, awaited: Sequence[Awaited] = (), origin: str | None = None
) -> SentItem:
    """What a portion keeps of an item."""
    return SentItem(
        error_ids=tuple(row.error_id for row in item.rows),
        fingerprint=item.fingerprint,
        layer=item.layer,
        raw_file=item.raw_file,
        row_index=item.row_index,
        record_index=item.record_index,
        origin=origin,
        whole=whole,
        awaited=tuple(awaited),
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A round in a listing: its id, and when anything of it was stored last."""

    round_id: str
    stored_at: datetime


class Rounds:
    """All rounds of an errors zone."""

    def __init__(self, zone: Zone, means: Means) -> None:
        self._zone = zone
        self._means = means

    async def seen(self) -> list[Seen]:
        """Every round that has been begun, in order of time."""
        newest: dict[str, datetime] = {}
        begun = set()
        async for listed in self._listed(PREFIX):
            key = listed.uri.removeprefix(self._zone.uri(PREFIX))
            found = _ROUND.fullmatch(key) or _PORTION.fullmatch(key)
            if found is not None:
                newest[found[1]] = max(newest.get(found[1], listed.stored_at), listed.stored_at)
            if _ROUND.fullmatch(key):
                begun.add(key.removesuffix(".json"))
        return [Seen(round_id, newest[round_id]) for round_id in sorted(begun)]

    async def read(self, round_id: str) -> Round | None:
        """A round; None where none of that id was begun, or where somebody else's object lies there."""
        read = await self._means.store.read(self._uri(round_id))
        try:
            return None if read is None else Round.from_json(read[0])
        except (ValueError, TypeError, KeyError):
            return None

    async def change(self, round_id: str, decide: Callable[[Round | None], Round]) -> None:
        """Compare and set, anew while somebody else is faster."""

        def amended(body: bytes | None) -> bytes | None:
            return decide(None if body is None else Round.from_json(body)).to_json()

        await amend(self._means.store, self._uri(round_id), amended)

    async def put(self, round_id: str, portion: Portion) -> None:
        """Write down what was sent."""
        uri = self._zone.uri(f"{PREFIX}{round_id}/{portion.number}.json")
        await self._means.store.put_new(uri, await self._means.threads.run(portion.to_json))

    async def portions(self, round_id: str) -> list[Portion]:
        """All that was sent of a round so far. SetupError where somebody else's object lies there."""
        uris = [listed.uri async for listed in self._listed(f"{PREFIX}{round_id}/")]
        found = await self._means.fan_out.run(self._means.store.read(uri) for uri in uris)
        read = [(uri, one[0]) for uri, one in zip(uris, found, strict=True) if one is not None]
        return [await self._means.threads.run(_portion, uri, body) for uri, body in read]

    async def _listed(self, prefix: str) -> AsyncIterator[Listed]:
        async for page in self._means.store.pages(self._zone.uri(prefix)):
            for listed in page:
                yield listed

    def _uri(self, round_id: str) -> str:
        return self._zone.uri(f"{PREFIX}{round_id}.json")


def _portion(uri: str, body: bytes) -> Portion:
    try:
        return Portion.from_json(body)
    except (ValueError, TypeError, KeyError):
        raise SetupError(f"{uri} is no portion of a round that this version wrote: move it away") from None


def _sent(given: dict[str, Any]) -> SentItem:
    awaited = tuple(_awaited(one) for one in given["awaited"])
    return SentItem(**{**given, "error_ids": tuple(given["error_ids"]), "awaited": awaited})


def _awaited(given: dict[str, Any]) -> Awaited:
    told = given.get("moment")
    moment = None if told is None else datetime.fromisoformat(told)
    return Awaited(given["dataset"], given["batch_id"], tuple(given["uris"]), moment)


def _moment_out(value: object) -> str:
    assert isinstance(value, datetime), "nothing else of a portion is none of JSON's own"
    return value.isoformat()
