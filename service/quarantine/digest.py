"""Whether a mail is due, and what it says. Pure: it is given the time, and what is known.

One mail tells everything that may be told: what is new, what was lost, what fails on, what is resolved. It waits a
little for causes that appear together; a fingerprint that was in a mail is in no other for a while; and only so many
mails go out in an hour, of which some are kept for what is new or lost. What must wait is told later, with the count
that it has by then.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from service.core.errors_dataset import ERRORS
from service.quarantine.mailbox import Mailbox, within
from service.quarantine.states import News, State, Told

COLUMNS = 66
"""A phone shows that many without breaking lines; the command is the longest line that is never broken."""
SHOWN_MAX = 15
"""Fingerprints that a mail names; the others are counted."""
TOLD_MAX = 1_000
"""Fingerprints that a mail may tell of; the others are for the next one."""
SENTENCE_CHARS_MAX = 200
SUBJECT_CHARS_MAX = 99
LINE_CHARS_MAX = 500

_HEADS: dict[News, str] = {
    "new": "NEW",
    "lost": "LOST ON THE WAY, OPEN AGAIN",
    "more": "FAILING ON",
    "resolved": "RESOLVED",
}
_URGENT: frozenset[News | None] = frozenset({"new", "lost"})
"""For these some of an hour's mails are kept."""
_LOST = "sent back, and never seen again: neither in a committed file nor as a failure."
_RESOLVED = "All that was sent back is in a committed file, and none of it failed again."
_RESOLVED_LANDED = "All that was sent back is in a committed file, or its records failed for causes of their own."
_FOOT = """What they are: acequia reprocess show FINGERPRINT
All of them: acequia reprocess list
To try a command without sending anything, add --rehearse."""


@dataclass(frozen=True, slots=True)
class MailLimits:
    """A fingerprint at most every `repeat_seconds`; `hour_max` mails an hour; news waits `gather_seconds` for more."""

    repeat_seconds: float = 900.0
    hour_max: int = 20
    gather_seconds: float = 30.0

    def __post_init__(self) -> None:
        assert self.repeat_seconds > 0
        assert self.hour_max >= 1
        assert self.gather_seconds >= 0

    @property
    def old_news_max(self) -> int:
        """Of an hour's mails, those without anything new in them."""
        return max(1, self.hour_max * 3 // 4)


@dataclass(frozen=True, slots=True)
class Mail:
    """A plain text, its subject in ASCII, and what is told with it."""

    subject: str
    text: str
    told: tuple[Told, ...]
    kinds: dict[News, int]


def due(states: Iterable[State], mailbox: Mailbox, now: datetime, limits: MailLimits) -> Mail | None:
    """The mail that should be claimed now, if any."""
    if not mailbox.free(now):
        return None
    may = [one for one in states if one.news and not within(one.mailed_at, now, limits.repeat_seconds)]
    new = [one for one in may if one.news in _URGENT]
    if all(within(one.untold_since, now, limits.gather_seconds) for one in new or may):
        return None
    if mailbox.used(now) >= (limits.hour_max if new else limits.old_news_max):
        return None
    return written(sorted(may, key=_waiting)[:TOLD_MAX])


def written(states: Sequence[State]) -> Mail:
    """The mail that tells the news of these."""
    by_kind = {kind: sorted((one for one in states if one.news == kind), key=_importance) for kind in _HEADS}
    kinds = {kind: some for kind, some in by_kind.items() if some}
    told = tuple(Told(one.fingerprint, one.failed, one.news == "resolved", one.lost) for one in states)
    counts = {kind: len(some) for kind, some in kinds.items()}
    return Mail(_subject(kinds), _text(kinds, len(states)), told, counts)


COMMAND_ABOUT_ERRORS = f"acequia reprocess run --dataset {ERRORS.name}"
ABOUT_ERRORS = "It is about files of acequia.errors itself, so it has no row there. Set the table right, then:"


def _subject(kinds: Mapping[News, Sequence[State]]) -> str:
    """What matters most first; a phone shows its beginning only."""
    parts = [_part(kind, some) for kind, some in kinds.items()]
    return _plain(f"Acequia: {', '.join(parts)}", SUBJECT_CHARS_MAX).encode("ascii", "replace").decode()


def _part(kind: News, some: Sequence[State]) -> str:
    failures = sum(_fresh(one) for one in some)
    what = f"{some[0].code} in {_dataset(some[0])}" if len(some) == 1 else f"{len(some)} kinds of failure"
    return {
        "new": f"new: {what} ({failures:,})",
        "lost": f"lost on the way: {what} ({sum(one.lost for one in some):,})",
        "more": f"{failures:,} more: {what}",
        "resolved": f"resolved: {what}",
    }[kind]


def _text(kinds: Mapping[News, Sequence[State]], total: int) -> str:
    blocks: list[str] = []
    left = SHOWN_MAX
    for kind, some in kinds.items():
        shown = some[:left]
        left -= len(shown)
        blocks += [_HEADS[kind]] * bool(shown) + [_block(kind, one) for one in shown]
    if total > SHOWN_MAX:
        blocks.append(_lines(f"And {total - SHOWN_MAX:,} more kinds of failure, which the list shows."))
    return "\n\n".join([*blocks, _FOOT]) + "\n"


def _block(kind: News, one: State) -> str:
    where = f"{one.code} in {_dataset(one)} ({one.layer}{f', {one.field}' if one.field else ''})"
    since = f"{one.first_failed_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    last = f"{one.last_failed_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    command = f"acequia reprocess run --fingerprint {one.fingerprint}"
    if one.layer == "load" and one.dataset == ERRORS.name:
        command = f"{_lines(ABOUT_ERRORS)}\n{COMMAND_ABOUT_ERRORS}"
    match kind:
        case "new":
            began = "after it was resolved" if one.mailed_resolved else f"from {since}"
            counts = f"{_failures(_fresh(one))} {began}, the last {last}"
        case "lost":
            more = f" {_fresh(one):,} more failed, the last {last}." if _fresh(one) else ""
            counts = f"{one.lost:,} {_LOST}{more}"
        case "more":
            counts = f"{_fresh(one):,} more, {one.failed:,} in all since {since}, the last {last}"
        case "resolved":
            became = _RESOLVED_LANDED if one.layer == "land" else _RESOLVED
            return f"{_lines(where)}\n{_lines(f'{_failures(one.failed)} since {since}. {became}')}"
    return "\n".join([_lines(where), _lines(_plain(one.sentence, SENTENCE_CHARS_MAX)), _lines(counts), command])


def _fresh(one: State) -> int:
    """How many failures no mail has told of."""
    return one.failed - one.mailed


def _failures(count: int) -> str:
    return "1 failure" if count == 1 else f"{count:,} failures"


def _dataset(one: State) -> str:
    return one.dataset or "no dataset"


def _waiting(one: State) -> tuple[datetime, str]:
    assert one.untold_since is not None, "it has news"
    return one.untold_since, one.fingerprint


def _importance(one: State) -> tuple[int, str]:
    return -max(_fresh(one), one.lost), one.fingerprint


def _plain(text: str, chars_max: int) -> str:
    """On one line, without what a terminal or a mail program would obey, and no longer than that."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= chars_max else f"{line[: chars_max - 3]}..."


def _lines(text: str) -> str:
    return textwrap.fill(_plain(text, LINE_CHARS_MAX), COLUMNS, break_on_hyphens=False)
