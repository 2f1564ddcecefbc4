"""The file notice: what one layer tells the next about files that lie in a zone."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from service.core.dead_letter import MARKER, PLACES_MAX, Place
from service.core.errors import RejectedError
from service.core.marks import ROUND_ID
from service.core.moments import failing_moment

VERSION = 1
COUNT_MAX = 2**53
"""What every reader of JSON can hold."""
FILES_MAX = 1_000
"""No notice of ours comes near it; a longer one is not ours."""
WHOLE_MESSAGE = -1
"""In `rows`, in place of an index: every record of that message."""
_OF_BODIES = ("bad_encoding", "bad_envelope", "too_large")
"""Why a body may not have been opened at all: its letter names the place 0 of what may be many records."""


@dataclass(frozen=True, slots=True)
class File:
    """A stored file. Event times are UTC, absent for raw files, which nobody has opened yet."""

    uri: str
    etag: str
    content_length_bytes: int
    rows: int
    event_time_min: datetime | None = None
    event_time_max: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replaces:
    """What a replay puts other files in the place of: every file that was ever made of this raw file."""

    raw_file: str
    uris: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileNotice:
    """Files of one dataset that came into being together.

    `columns` are (name, type) in file order, because COPY goes by position. `definition` is the hash of the dataset
    definition that wrote them (empty for raw files), `event_time` the column by which they were cut. `replaces` is for
    a replay, whose one notice names all files that the raw file has now, maybe none.

    `rows` is for sending records back, on the refine queue alone: of the one raw file only these places (row, index)
    are refined once more, beside what it has given before. `attempt` is how often they were tried, in `round_id` again,
    and `first_failed_at` when they failed first, UTC; None in notices of older versions.
    """

    dataset: str
    zone: str
    files: Sequence[File]
    columns: Sequence[tuple[str, str]]
    batch_id: str
    definition: str
    produced_at: datetime
    replaces: Replaces | None = None
    event_time: str = ""
    rows: tuple[Place, ...] = ()
    attempt: int = 0
    round_id: str = ""
    first_failed_at: datetime | None = None

    @property
    def size_bytes(self) -> int:
        """What the files weigh together."""
        return sum(f.content_length_bytes for f in self.files)

    def to_json(self) -> str:
        """The message body."""
        return json.dumps({"v": VERSION, **asdict(self)}, default=_moment_out, separators=(",", ":"))

    @classmethod
    def from_json(cls, body: str) -> "FileNotice":
        """Read a message body; raises RejectedError (`bad_notice`) on anything that `to_json` would not write."""
        try:
            given = json.loads(body)
            if isinstance(given, dict) and MARKER in given:  # a letter that somebody moved back
                given = json.loads(_text(given["original"]["body"]))
            if not isinstance(given, dict) or given.get("v") != VERSION:
                raise RejectedError("bad_notice", f"only file notices of version {VERSION} are taken on this queue")
            files = [_file(entry) for entry in _list(given["files"])]
            columns = [_pair(column) for column in _list(given["columns"])]
            replaces = given.get("replaces")
            notice = cls(
                dataset=_text(given["dataset"]),
                zone=_text(given["zone"]),
                files=files,
                columns=columns,
                batch_id=_text(given["batch_id"]),
                definition=_text(given["definition"]),
                produced_at=_moment(given["produced_at"]),
                replaces=None if replaces is None else _replaces(replaces),
                event_time=_text(given.get("event_time", "")),
                rows=tuple(_row(place) for place in _list(given.get("rows", []))),
                attempt=_count(given.get("attempt", 0)),
                round_id=_round(given.get("round_id", "")),
                first_failed_at=failing_moment(given.get("first_failed_at")),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as wrong:
            raise RejectedError("bad_notice", f"the file notice cannot be read ({type(wrong).__name__})") from None
        if not (0 if notice.replaces else 1) <= len(files) <= FILES_MAX:
            raise RejectedError("bad_notice", f"a file notice names 1 to {FILES_MAX} files")
        if len({file.uri for file in files}) < len(files):
            raise RejectedError("bad_notice", "the notice names a file twice")
        if notice.rows and (len(files) > 1 or notice.replaces is not None or len(notice.rows) > PLACES_MAX):
            raise RejectedError("bad_notice", f"a notice about records names one file and at most {PLACES_MAX} places")
        return notice


def rows_to_replay(code: str, column: str | None, places: Iterable[Place]) -> tuple[Place, ...]:
    """The `rows` for a notice, from what a letter tells.

    A message whose body could not be opened is taken whole: now that it can be, nobody knows how many records it holds.
    """
    whole = column is None and code in _OF_BODIES
    return tuple((row, WHOLE_MESSAGE if whole and index == 0 else index) for row, index in places)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _pair(column: object) -> tuple[str, str]:
    name, kind = _list(column)
    return _text(name), _text(kind)


def _row(place: object) -> Place:
    row, index = _list(place)
    return _count(row), WHOLE_MESSAGE if index == WHOLE_MESSAGE else _count(index)


def _file(given: object) -> File:
    if not isinstance(given, dict):
        raise TypeError
    earliest, latest = given.get("event_time_min"), given.get("event_time_max")
    return File(
        uri=_text(given["uri"]),
        etag=_text(given["etag"]),
        content_length_bytes=_count(given["content_length_bytes"]),
        rows=_count(given["rows"]),
        event_time_min=None if earliest is None else _moment(earliest),
        event_time_max=None if latest is None else _moment(latest),
    )


def _replaces(given: object) -> Replaces:
    if not isinstance(given, dict):
        raise TypeError
    uris = tuple(_text(uri) for uri in _list(given["uris"]))
    if len(uris) > FILES_MAX:
        raise ValueError
    return Replaces(_text(given["raw_file"]), uris)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half a surrogate pair could not be sent on
    return value


def _round(value: object) -> str:
    if not ROUND_ID.fullmatch(_text(value)):
        raise ValueError
    return _text(value)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= COUNT_MAX:
        raise TypeError
    return value


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)  # and so one that UTC can hold


def _moment_out(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()
