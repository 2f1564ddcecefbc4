"""When a mail is due, what it says, and that it is never too many and never none."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.quarantine.digest import COLUMNS, SHOWN_MAX, SUBJECT_CHARS_MAX, TOLD_MAX, MailLimits, due, written
from service.quarantine.mailbox import LEASE_SECONDS, Claim, Mailbox
from service.quarantine.states import Failed, State, Told

NOON = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
LIMITS = MailLimits()
AGES = ["0f2cf4b5a1c94d0e", "aaaabbbbccccdddd", "1111222233334444"]


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def failed(fingerprint: str, count: int, now: datetime) -> Failed:
    sentence = "column amount_requested: the field holds no integer value"
    return Failed(fingerprint, "refine", "loan_events", "bad_type", "amount_requested", sentence, count, now, now)


def new(fingerprint: str = AGES[0], count: int = 1, at: float = 0) -> State:
    return State.began(failed(fingerprint, count, after(at)), "b0", after(at))


def mailed(state: State, at: float) -> State:
    return state.told(Told(state.fingerprint, state.failed, resolved=False), after(at))


def more(fingerprint: str = AGES[1], *, mailed_at: float, at: float, count: int = 1) -> State:
    return mailed(new(fingerprint), mailed_at).counted(failed(fingerprint, count, after(at)), "b1", after(at))


def told(states: Iterable[State], now: float, mailbox: Mailbox | None = None, limits: MailLimits = LIMITS) -> list[str]:
    mail = due(states, mailbox or Mailbox(), after(now), limits)
    return [] if mail is None else sorted(one.fingerprint for one in mail.told)


def test_a_new_fingerprint_waits_a_little_for_others() -> None:
    early, late = new(AGES[0], at=0), new(AGES[1], at=20)
    assert told([early, late], 29) == []
    assert told([early, late], 30) == sorted(AGES[:2])


def test_what_is_new_holds_a_digest_back_for_no_longer_than_it_gathers() -> None:
    digest = more(mailed_at=-2_000, at=-100)
    assert told([digest], 0) == [digest.fingerprint]
    assert told([digest, new(AGES[0], at=0)], 10) == []
    assert len(told([digest, new(AGES[0], at=0), new(AGES[2], at=29)], 30)) == 3


def test_the_same_fingerprint_is_in_one_mail_a_quarter_of_an_hour() -> None:
    state = more(mailed_at=0, at=10)
    assert told([state], 899) == []
    assert told([state], 900) == [state.fingerprint]
    resolved = state.marked("resolved", after(20))
    assert told([resolved], 899) == []
    assert told([resolved], 900) == [state.fingerprint]


def test_nothing_is_told_while_another_mail_is_on_its_way_or_to_be_written_down() -> None:
    claimed = Mailbox().claimed("a", (), after(0))
    assert told([new(at=-60)], LEASE_SECONDS - 1, claimed) == []
    assert told([new(at=-60)], LEASE_SECONDS, claimed) == [AGES[0]]
    assert told([new(at=-60)], LEASE_SECONDS, claimed.published("a", after(1))) == []


def test_after_a_failure_nobody_tries_too_early() -> None:
    failed = Mailbox().claimed("a", (), after(0)).failed("a", after(300))
    assert failed.failures == 1
    assert told([new(at=-60)], 299, failed) == []
    assert told([new(at=-60)], 300, failed) == [AGES[0]]


def test_some_of_an_hours_mails_are_kept_for_what_is_new() -> None:
    limits = MailLimits(hour_max=4)
    box = Mailbox()
    old = more(mailed_at=-2_000, at=-100)
    for number in range(4):
        assert told([old], 0, box, limits) == ([old.fingerprint] if number < 3 else [])
        assert len(told([old, new(at=-60)], 0, box, limits)) == 2, "it goes along with what is new"
        box = replace(box.claimed("a", (), after(0)), claim=None)
    assert told([old, new(at=-60)], 0, box, limits) == []
    assert len(told([old, new(at=-60)], 3_700, box, limits)) == 2


def test_a_clock_that_was_far_ahead_does_not_silence_mail() -> None:
    year = 365 * 86_400
    box = replace(Mailbox().claimed("a", (), after(year)), retry_at=after(year))
    for _ in range(20):
        box = box.claimed("a", (), after(year))
    state = more(mailed_at=year, at=year)
    assert told([state, new(at=year)], 0, box) == sorted([state.fingerprint, AGES[0]])


def test_a_claim_that_is_not_ours_is_left_alone() -> None:
    box = Mailbox().claimed("a", (), NOON)
    out = box.published("a", NOON)
    assert box.published("b", NOON) == box.failed("b", NOON) == box
    assert out.failed("a", NOON) == out
    assert out.unfinished("b", after(LEASE_SECONDS - 1)) is None
    assert out.unfinished("a", NOON) == out.unfinished("b", after(LEASE_SECONDS)) == out.claim
    assert box.unfinished("a", after(LEASE_SECONDS)) is None, "nobody knows whether it went out"
    assert out.finished(Claim("a", NOON, ())) == out
    assert out.claim is not None
    assert out.finished(out.claim).claim is None


@pytest.mark.parametrize("body", [None, b"", b"{", b"[]", b"7", b'{"v":2}', b'{"v":1,"mails":["x"]}', b"[" * 100_000])
def test_a_damaged_mailbox_begins_anew(body: bytes | None) -> None:
    assert Mailbox.from_json(body) == Mailbox()


def test_a_mailbox_survives_its_object() -> None:
    box = Mailbox().claimed("a", (Told(AGES[0], 7, resolved=True), Told(AGES[1], 7, resolved=False, lost=3)), NOON)
    for each in (Mailbox(), box, box.published("a", NOON), box.failed("a", after(9.5))):
        assert Mailbox.from_json(each.to_json()) == each


def test_what_a_mail_says() -> None:
    back = mailed(new(AGES[2], count=5), 0)
    back = back.told(Told(AGES[2], 5, resolved=True), after(1)).counted(failed(AGES[2], 1, after(60)), "b1", after(60))
    gone = replace(new("5555666677778888", count=1), state="resolved", dataset="", field=None)
    mail = written([gone, more(mailed_at=0, at=1_200, count=9_600), new(count=12_400), back])
    assert mail.subject == (
        "Acequia: new: 2 kinds of failure (12,401), 9,600 more: bad_type in loan_events, resolved: bad_ty..."
    )
    assert mail.kinds == {"new": 2, "more": 1, "resolved": 1}
    assert mail.text == EXPECTED


def test_of_messages_that_landed_a_mail_promises_no_more_than_is_known() -> None:
    text = written([replace(new(count=1), state="resolved", layer="land")]).text
    assert "is in a committed file, or its records failed for causes of their own." in " ".join(text.split())


def test_a_failure_about_error_files_names_the_command_that_finds_it() -> None:
    text = written([replace(new(count=1), layer="load", dataset="errors")]).text
    assert "\nacequia reprocess run --dataset errors\n" in text
    assert "--fingerprint" not in text
    assert "it has no row there. Set the table right" in " ".join(text.split())


def test_what_was_lost_is_told_at_once_with_what_has_failed_since() -> None:
    lost = mailed(new(), 0).missed(12, "r1", after(1_000))
    mail = written([lost])
    assert (mail.subject, mail.kinds) == ("Acequia: lost on the way: bad_type in loan_events (12)", {"lost": 1})
    assert mail.text.startswith(LOST)
    assert mail.told == (Told(lost.fingerprint, 1, resolved=False, lost=12),)
    since = lost.counted(failed(AGES[0], 3, after(60)), "b2", after(1_001))
    assert "nor as a failure. 3 more failed, the last 2026-11-23 12:01 UTC" in " ".join(written([since]).text.split())
    spent = Mailbox(mails=tuple(after(number) for number in range(LIMITS.old_news_max)))
    assert told([more(mailed_at=-1_000, at=0)], 1_100, spent) == []
    assert told([lost], 1_100, spent) == [lost.fingerprint]


LOST = """LOST ON THE WAY, OPEN AGAIN

bad_type in loan_events (refine, amount_requested)
column amount_requested: the field holds no integer value
12 sent back, and never seen again: neither in a committed file
nor as a failure.
acequia reprocess run --fingerprint 0f2cf4b5a1c94d0e
"""


EXPECTED = """NEW

bad_type in loan_events (refine, amount_requested)
column amount_requested: the field holds no integer value
12,400 failures from 2026-11-23 12:00 UTC, the last 2026-11-23
12:00 UTC
acequia reprocess run --fingerprint 0f2cf4b5a1c94d0e

bad_type in loan_events (refine, amount_requested)
column amount_requested: the field holds no integer value
1 failure after it was resolved, the last 2026-11-23 12:01 UTC
acequia reprocess run --fingerprint 1111222233334444

FAILING ON

bad_type in loan_events (refine, amount_requested)
column amount_requested: the field holds no integer value
9,600 more, 9,601 in all since 2026-11-23 12:00 UTC, the last
2026-11-23 12:20 UTC
acequia reprocess run --fingerprint aaaabbbbccccdddd

RESOLVED

bad_type in no dataset (refine)
1 failure since 2026-11-23 12:00 UTC. All that was sent back is in
a committed file, and none of it failed again.

What they are: acequia reprocess show FINGERPRINT
All of them: acequia reprocess list
To try a command without sending anything, add --rehearse.
"""


@given(st.text(), st.text(), st.text(), st.none() | st.text(max_size=2_000))
@settings(deadline=None, derandomize=True)
def test_whatever_a_cause_is_called_a_mail_can_be_sent_and_read(code: str, sentence: str, name: str, at: str) -> None:
    mail = written([replace(new(), code=code, sentence=sentence * 50, dataset=name, field=at)])
    assert len(mail.subject) <= SUBJECT_CHARS_MAX
    assert mail.subject.isascii()
    assert mail.subject.isprintable()
    assert mail.subject == " ".join(mail.subject.split())
    assert all(len(line) <= COLUMNS and line.isprintable() for line in mail.text.split("\n"))
    assert mail.text.encode()


def test_an_object_with_numbers_for_texts_can_be_mailed() -> None:
    body = new().to_json()
    for name in ("layer", "dataset", "code", "field", "sentence"):
        body = re.sub(rf'"{name}": "[^"]*"'.encode(), f'"{name}": 7'.encode(), body)
    state = State.from_json(body)
    assert state is not None
    assert "7 in 7 (7, 7)" in written([state]).text


def test_many_causes_are_counted_not_listed() -> None:
    states = [new(f"{number:016x}", at=number) for number in range(TOLD_MAX + 5)]
    mail = due(states, Mailbox(), after(10_000), LIMITS)
    assert mail is not None
    assert mail.text.count("reprocess run") == SHOWN_MAX
    assert f"And {TOLD_MAX - SHOWN_MAX} more kinds of failure" in mail.text
    assert {one.fingerprint for one in mail.told} == {one.fingerprint for one in states[:TOLD_MAX]}, "the oldest first"


Step = tuple[int, int, str]
"""After so many seconds, that fingerprint fails, is resolved, is lost, or SNS goes down or comes back."""
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1_200),
        st.integers(0, 12),
        st.sampled_from(["fail"] * 5 + ["resolve", "lose", "down", "up", "die"]),
    ),
    max_size=120,
)


@dataclass
class Office:
    """Looks every 15 seconds, and keeps account of what was tried and told."""

    limits: MailLimits
    now: float = 0.0
    box: Mailbox = field(default_factory=Mailbox)
    states: dict[str, State] = field(default_factory=dict)
    fails: str = ""
    tried: list[float] = field(default_factory=list)
    sent: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    numbers: Iterable[int] = field(default_factory=itertools.count)

    def apply(self, step: Step) -> None:
        self.wait(step[0])
        name, now = f"{step[1]:016x}", after(self.now)
        if step[2] == "fail":
            one, batch = failed(name, 1 + step[1], now), f"b{next(iter(self.numbers))}"
            known = self.states.get(name)
            self.states[name] = State.began(one, batch, now) if known is None else known.counted(one, batch, now)
        elif step[2] == "resolve" and name in self.states:
            self.states[name] = self.states[name].marked("resolved", now)
        elif step[2] == "lose" and name in self.states:
            state = replace(self.states[name], state="open")
            self.states[name] = state.missed(1 + step[1], f"r{next(iter(self.numbers))}", now)
        elif step[2] not in ("resolve", "lose"):
            self.fails = "" if step[2] == "up" else step[2]

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now + 15 <= end:
            self.now += 15
            self.look()
        self.now = end

    def look(self) -> None:
        now = after(self.now)
        mail = due(self.states.values(), self.box, now, self.limits)
        if mail is None:
            return
        self.tried.append(self.now)
        self.box = self.box.claimed("me", mail.told, now)
        if self.fails == "die":
            self.fails = ""
        elif self.fails == "down":
            self.box = self.box.failed("me", after(self.now + 60 * 2 ** min(self.box.failures, 4)))
        else:
            self.sent.append((self.now, frozenset(one.fingerprint for one in mail.told)))
            for one in mail.told:
                self.states[one.fingerprint] = self.states[one.fingerprint].told(one, now)
            self.box = self.box.published("me", now)
            assert self.box.claim is not None
            self.box = self.box.finished(self.box.claim)


@given(STEPS, st.builds(MailLimits, st.sampled_from([60, 900, 4_000]), st.integers(1, 20), st.sampled_from([0, 30])))
@settings(deadline=None, derandomize=True, max_examples=150)
def test_never_more_than_the_bounds_and_nothing_is_forgotten(steps: list[Step], limits: MailLimits) -> None:
    office = Office(limits)
    for step in steps:
        office.apply(step)
    office.fails = ""
    office.wait(4 * 3_600 + 2 * limits.repeat_seconds)
    for start in office.tried:
        assert sum(start <= moment < start + 3_600 for moment in office.tried) <= limits.hour_max
    for name in office.states:
        moments = [moment for moment, names in office.sent if name in names]
        assert all(later - earlier >= limits.repeat_seconds for earlier, later in itertools.pairwise(moments))
    assert [state.news for state in office.states.values()] == [None] * len(office.states)
    assert all((state.mailed, state.lost) == (state.failed, 0) for state in office.states.values())
