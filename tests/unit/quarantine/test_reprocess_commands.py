"""What an operator types, and what comes back."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest
import typer
from typer.testing import CliRunner, Result

from service.commands.reprocess import reprocess_commands
from service.core.datasets import Dataset
from service.core.dead_letter import DeadLetter
from service.quarantine.reprocess.rehearse import Fault, Inside
from service.quarantine.reprocess.tools import Tools
from service.settings import Settings
from tests.fakes.journal import Away
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, VirtualLoop
from tests.fakes.world import KEY
from tests.unit.quarantine.reprocess_bed import Bed, about, lay_raw, message, notice, records

ENVIRONMENT = {
    "ACEQUIA_RAW_ZONE": "s3://raw",
    "ACEQUIA_REFINED_ZONE": "s3://refined",
    "ACEQUIA_ERRORS_ZONE": "s3://errors",
    "ACEQUIA_WAREHOUSE_DSN": "postgresql://nobody@localhost:5439/none",
    "ACEQUIA_COPY_ROLE_ARN": "arn:aws:iam::123456789012:role/copy",
    "ACEQUIA_IDENTITY_KEY": KEY,
    "ACEQUIA_MASK_KEY": KEY,
}
TEXT = '{"id": "x", "loan": {"amount": "many"}, "customer": {"document": "123-45"}}'


@dataclass
class Desk:
    """An operator's terminal, over failures that were quarantined."""

    bed: Bed
    letters: Sequence[DeadLetter] = ()
    opened: list[Settings] = field(default_factory=list)
    looked: list[Settings] = field(default_factory=list)
    """Opened without queues."""

    def types(self, *words: str) -> Result:
        app = typer.Typer()
        app.add_typer(reprocess_commands(self._opening, self._looking), name="reprocess")
        return CliRunner().invoke(app, ["reprocess", *words], env=ENVIRONMENT)

    @asynccontextmanager
    async def _opening(self, settings: Settings) -> AsyncIterator[Tools]:
        await self._failed()
        self.opened.append(settings)
        yield self.bed.tools()

    @asynccontextmanager
    async def _looking(self, settings: Settings) -> AsyncIterator[Tools]:
        await self._failed()
        self.looked.append(settings)
        yield replace(self.bed.tools(), queues={}, reprocess_queue=None)  # type: ignore[arg-type]  # never asked

    async def _failed(self) -> None:
        if self.letters:
            lay_raw(self.bed, TEXT, TEXT)
            await self.bed.fail(*self.letters)
            self.letters = ()


class NewYear(LoopClock):
    """It is always the same moment of the same day, whatever passes."""

    def now(self) -> datetime:
        return EPOCH


class VirtualTime(asyncio.DefaultEventLoopPolicy):
    """Commands run loops of their own; in these nobody waits."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return VirtualLoop()


@pytest.fixture(autouse=True)
def virtual_time() -> Iterator[None]:
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(VirtualTime())
    yield
    asyncio.set_event_loop_policy(before)


@pytest.fixture
def desk(loans: Dataset) -> Callable[..., Desk]:
    def make(*letters: DeadLetter) -> Desk:
        bed = Bed({"loans": loans})
        bed.means = replace(bed.means, clock=NewYear())
        return Desk(bed, letters)

    return make


def fingerprint(listed: Result, code: str) -> str:
    """Of the failure with that code, as the list has it."""
    return next(line.split()[0] for line in listed.output.splitlines() if code in line)


def test_the_list_shows_each_cause_once(desk: Callable[..., Desk]) -> None:
    here = desk(records((0, 0), (1, 0)), message("one", "m1"))
    listed = here.types("list")
    assert listed.exit_code == 0, listed.output
    [line] = [line for line in listed.output.splitlines() if "bad_type in loans (refine," in line]
    assert line.split()[1:6] == ["2", "2", "0", "0", "0"]
    words = " ".join(listed.output.split())
    assert "amount) column amount: no integer" in words
    assert "unknown_dataset in no dataset (land) no dataset" in words
    only = here.types("list", "--code", "bad_type")
    assert "unknown_dataset" not in only.output


def test_a_list_of_nothing_is_a_sentence(desk: Callable[..., Desk]) -> None:
    listed = desk().types("list")
    assert (listed.exit_code, listed.output) == (0, "Nothing of that failed since 2025-12-18.\n")


def test_examples_are_masked_and_the_field_to_blame_is_marked(desk: Callable[..., Desk]) -> None:
    here = desk(records((0, 0), (1, 0)))
    name = fingerprint(here.types("list"), "bad_type")
    showed = here.types("show", name, "--examples", "1")
    assert showed.exit_code == 0, showed.output
    assert '  > amount: "many"' in showed.output
    assert "123-45" not in showed.output
    assert showed.output.count("tried once") == 1
    assert "s3://raw/loans/" in showed.output.replace("\n", "")


def test_a_rehearsal_sends_nothing_and_says_what_would_become_of_it(desk: Callable[..., Desk]) -> None:
    here = desk(message("one", "m1"), message("two", "m2"))
    here.bed.bad["two"] = Fault("bad_json", "the record is none")
    rehearsed = here.types("run", "--rehearse")
    assert rehearsed.exit_code == 0, rehearsed.output
    assert "2 chosen: 1 would pass now, 1 would fail again." in rehearsed.output
    assert "  1 bad_json in no dataset: the record is none" in rehearsed.output
    assert not len(here.bed.queues["land"])
    assert not any(here.bed.reprocess_queue.received.values())


def test_of_whole_files_it_says_what_is_in_them_and_what_nobody_can_tell(desk: Callable[..., Desk]) -> None:
    here = desk(message("one", "m1", layer="refine", code="bad_file"), message("two", "m2", layer="load"))
    here.bed.insides["one"] = Inside(1, 9_000, Counter({("loans", "bad_type", "no integer"): 1_000}))
    here.bed.doubts["two"] = "only the warehouse can say"
    rehearsed = here.types("run", "--rehearse")
    assert rehearsed.output.splitlines()[-4:] == [
        "2 chosen: 1 would pass now, 0 would fail again.",
        "  1 cannot be told beforehand: only the warehouse can say",
        "1 whole file would be refined: 9,000 records pass now, 1,000 fail, each by itself.",
        "  1,000 bad_type in loans: no integer",
    ]


def test_of_messages_of_several_records_it_says_what_is_in_them(desk: Callable[..., Desk]) -> None:
    here = desk(message("one", "m1"), message("two", "m2", layer="refine", code="bad_file"))
    failing = Counter({("loans", "bad_type", "no \x9binteger"): 4})
    here.bed.insides["one"] = Inside(passing=36, failing=failing, messages=4)
    rehearsed = here.types("run", "--rehearse", "--layer", "land")
    assert rehearsed.output.splitlines()[-3:] == [
        "1 chosen: 1 would pass now, 0 would fail again.",
        "4 messages of several records would be refined: 36 records pass now, 4 fail, each by itself.",
        "  4 bad_type in loans: no \\u009binteger",
    ]
    here.bed.insides["one"] = Inside(passing=9, messages=1)
    here.bed.insides["two"] = Inside(2, 70)
    rehearsed = here.types("run", "--rehearse")
    what = "2 whole files and 1 message of several records would be refined: 79 records pass now, 0 fail"
    assert what in rehearsed.output


def test_an_example_says_why_it_failed_in_its_own_words(desk: Callable[..., Desk]) -> None:
    here = desk(message("one", "m1", sentence="there is no dataset 'lones'"))
    showed = here.types("show", fingerprint(here.types("list"), "unknown_dataset"))
    assert "\n  there is no dataset 'lones'\n" in showed.output


def test_nothing_of_a_record_reaches_the_terminal_unescaped(desk: Callable[..., Desk]) -> None:
    spoilt = "x\x1b[2J\x9b1m\x7f\u202e\U000e0001"
    here = desk()
    lay_raw(here.bed, TEXT.replace("x", spoilt.replace("\x1b", "\\u001b")))
    letters = records((0, 0)), message("one", f"m1{spoilt}", sentence=f"{spoilt}\nsecond line")
    asyncio.run(here.bed.fail(*letters))
    listed = here.types("list")
    shows = [here.types("show", fingerprint(listed, code)).output for code in ("bad_type", "unknown_dataset")]
    assert '  id: "x\\u001b[2J\\u009b1m\\u007f\\u202e\\udb40\\udc01"' in shows[0]
    assert "  x\\u001b[2J\\u009b1m\\u007f\\u202e\\udb40\\udc01\nsecond line\n" in shows[1]
    assert "message m1x\\u001b[2J" in shows[1]
    for output in (listed.output, *shows):
        assert all(char.isprintable() or char == "\n" for char in output), output


def test_a_run_sends_and_sums_up(desk: Callable[..., Desk]) -> None:
    here = desk(records((0, 0), (1, 0)), message("one", "m1"), message("two", "m2", attempts=3))
    here.bed.there = {"one"}
    ran = here.types("run")
    assert ran.exit_code == 0, ran.output
    assert "1 failed 3 times or more: not sent without --parked." in ran.output
    assert "1 of these records are in the warehouse already: they will not be there twice." in ran.output
    assert "3 sent back in 2 messages, 1 parked, 2 letters settled on the reprocess queue" in ran.output
    again = here.types("run")
    assert (again.exit_code, again.output.splitlines()[-1]) == (0, "Nothing open is chosen: nothing to send.")


@pytest.mark.parametrize("words", [(), ("--rehearse",), ("--code", "bad_type")])
def test_a_dataset_that_nobody_has_heard_of_is_told(desk: Callable[..., Desk], words: tuple[str, ...]) -> None:
    here = desk(records((0, 0)), message("one", "m1"), message("two", "m2", dataset="gone"))
    ran = here.types("run", "--dataset", "lona_events", *words)
    assert ran.exit_code == 2, ran.output
    assert (
        "acequia: no failure of --dataset 'lona_events' is known since 2025-12-18, and no definition has that name; "
        "failures are known of gone, loans"
    ) in " ".join(ran.output.split())
    assert not len(here.bed.queues["land"])
    assert not here.bed.notices()


def test_where_nothing_failed_a_wrong_dataset_is_told_too(desk: Callable[..., Desk]) -> None:
    ran = desk().types("run", "--dataset", "lona_events")
    assert (ran.exit_code, "failures are known of no dataset" in ran.output) == (2, True), ran.output


@pytest.mark.parametrize(
    ("dataset", "words"),
    [("loan_events", ()), ("loans", ("--code", "bad_time")), ("gone", ("--until", "2025-12-31T22:01")), ("", ())],
    ids=["it is defined", "it failed otherwise", "it failed before", "no dataset"],
)
def test_a_dataset_of_which_nothing_is_open_is_fine(
    desk: Callable[..., Desk], dataset: str, words: tuple[str, ...]
) -> None:
    """Even where it is not defined any more."""
    here = desk(records((0, 0)), message("two", "m2", dataset="gone"))
    here.types("list")
    if dataset == "gone":
        assert here.types("run", "--dataset", "gone").exit_code == 0
    ran = here.types("run", "--dataset", dataset, *words)
    assert ran.exit_code == 0, ran.output
    assert "Nothing open is chosen: nothing to send." in ran.output


def test_what_is_sent_needs_no_warehouse(desk: Callable[..., Desk]) -> None:
    here = desk(message("one", "m1"))
    here.types("list")
    here.bed.journal.before = Away("warehouse loaded", "warehouse", times=9)
    ran = here.types("run")
    assert ran.exit_code == 0, ran.output
    assert "nobody can tell how many of these are loaded already; none will be twice" in " ".join(ran.output.split())
    assert here.bed.queues["land"].bodies == ["one"]


def test_where_most_would_fail_nobody_is_asked_without_a_terminal(desk: Callable[..., Desk]) -> None:
    here = desk(message("one", "m1"))
    here.bed.bad["one"] = Fault("bad_json", "the record is none")
    refused = here.types("run")
    assert refused.exit_code == 2
    assert "acequia: most of these would fail again, and nobody is there to be asked: say --yes" in refused.output
    assert not len(here.bed.queues["land"])
    assert here.types("run", "--yes").exit_code == 0
    assert len(here.bed.queues["land"]) == 1


def test_what_could_not_be_sent_is_told_with_exit_code_1(desk: Callable[..., Desk]) -> None:
    here = desk(records((0, 0), uri="s3://raw/loans/dt=2024-03-04/hr=11/20240304T115959123Z-00000000000000aa.parquet"))
    ran = here.types("run")
    assert ran.exit_code == 1, ran.output
    assert "1 cannot be rehearsed: their originals are gone from the errors zone" in ran.output
    assert "1 could not be sent: the raw file is gone" in ran.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "feed"), "nothing with fingerprint 'feed' failed between 2025-12-18 and"),
        (("run", "--fingerprint", "feed"), "nothing with fingerprint 'feed' failed between"),
        (("list", "--since", "2026-01-02", "--until", "2026-01-01"), "is after --until 2026-01-01T23:59:59Z"),
        (("list", "--since", "yesterday"), "--since 'yesterday' is no moment: write it as 2026-01-31"),
        (("list", "--since", "0001-01-01T00:00+14:00"), "--since '0001-01-01T00:00+14:00' is no moment"),
        (("run", "--layer", "lend"), "--layer 'lend' is none; there are land, load, refine"),
        (("run", "--since", "2020-01-01"), "--since 2020-01-01 is more than 400 days ago"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    desk: Callable[..., Desk], words: tuple[str, ...], sentence: str
) -> None:
    answer = desk(message("one", "m1")).types(*words)
    assert answer.exit_code == 2, answer.output
    assert sentence in answer.output
    assert sum(line.startswith("acequia: ") for line in answer.output.splitlines()) == 1
    assert "Traceback" not in answer.output


def test_ctrl_c_writes_down_what_was_sent_and_the_same_command_goes_on(desk: Callable[..., Desk]) -> None:
    here = desk(*(message(f"n{number}", f"m{number}") for number in range(40)))
    sends = 0

    def interrupt(effect: str) -> None:
        nonlocal sends
        sends += effect.startswith("records send")
        if sends == 2 and effect.startswith("records send"):
            os.kill(os.getpid(), signal.SIGINT)

    here.bed.journal.before = interrupt
    ran = here.types("run", "--rate", "500")
    assert ran.exit_code == 130, ran.output
    assert "acequia: stopped; what was sent is written down. The same command sends the rest" in ran.output
    sent = len(here.bed.queues["land"])
    assert sent in (20, 30)
    assert f"{sent} sent back" in ran.output
    ran = here.types("run", "--rate", "500")
    assert ran.exit_code == 0, ran.output
    assert sorted(here.bed.queues["land"].bodies) == sorted(f"n{number}" for number in range(40))


def test_failures_about_error_files_are_listed_and_shown_with_their_command(desk: Callable[..., Desk]) -> None:
    here = desk(about(1), about(2), message("one", "m9"))
    listed = here.types("list")
    assert listed.exit_code == 0, listed.output
    [line] = [line for line in listed.output.splitlines() if "load_refused in errors (load)" in line]
    assert line.split()[1:6] == ["2", "2", "0", "0", "0"]
    assert "acequia reprocess run --dataset errors" in listed.output
    assert "errors" not in here.types("list", "--layer", "land").output
    showed = here.types("show", line.split()[0])
    assert (showed.exit_code, "load_refused in errors" in showed.output) == (0, True), showed.output
    assert not any(here.bed.reprocess_queue.received.values())


@pytest.mark.parametrize("words", [("--dataset", "errors"), ("--fingerprint", "FINGERPRINT")])
def test_failures_about_error_files_are_sent_back(desk: Callable[..., Desk], words: tuple[str, str]) -> None:
    here = desk(about(1), about(2), about(3, attempts=3), message("one", "m9"))
    listed = here.types("list")
    name = fingerprint(listed, "load_refused")
    words = (words[0], words[1].replace("FINGERPRINT", name))
    rehearsed = here.types("run", *words, "--rehearse")
    assert rehearsed.exit_code == 0, rehearsed.output
    assert "Their notices lie on the reprocess queue, where a rehearsal does not look." in rehearsed.output
    assert not any(here.bed.reprocess_queue.received.values())
    known = len(here.bed.load_queue)
    ran = here.types("run", *words)
    assert ran.exit_code == 0, ran.output
    assert "2 chosen: " in ran.output
    assert "1 failed 3 times or more: not sent without --parked." in ran.output
    assert "2 sent back in 2 messages, 1 parked, 2 letters settled on the reprocess queue" in ran.output
    assert here.bed.load_queue.bodies[known:] == [notice(1), notice(2)]
    assert not len(here.bed.queues["land"])


@pytest.mark.parametrize(("words", "code", "sent"), [((), 2, 0), (("--yes",), 0, 1)], ids=["asked", "--yes"])
def test_error_files_that_would_fail_again_are_asked_about(
    desk: Callable[..., Desk], words: tuple[str, ...], code: int, sent: int
) -> None:
    here = desk(about(1))
    here.bed.bad[notice(1)] = Fault("missing_object", "gone")
    ran = here.types("run", "--dataset", "errors", *words)
    assert ran.exit_code == code, ran.output
    assert "  1 missing_object in errors: gone" in ran.output
    assert ("nobody is there to be asked: say --yes" in ran.output) == (not sent)
    assert len(here.bed.load_queue) == sent


def test_letters_that_somebody_else_holds_are_told_with_exit_code_1(desk: Callable[..., Desk]) -> None:
    here = desk(about(1))
    here.types("list")
    asyncio.run(here.bed.reprocess_queue.receive(wait_seconds=0, visibility_seconds=300))
    ran = here.types("run", "--dataset", "errors")
    assert ran.exit_code == 1, ran.output
    assert "somebody else holds letters of the reprocess queue" in ran.output
    assert "Nothing open is chosen" in ran.output


def test_what_is_sent_while_somebody_else_holds_letters_is_told_likewise(desk: Callable[..., Desk]) -> None:
    here = desk(about(1), about(2))
    here.types("list")
    known, queue = len(here.bed.load_queue), here.bed.reprocess_queue
    [_, other] = asyncio.run(queue.receive(wait_seconds=0, visibility_seconds=300))
    asyncio.run(queue.hide([other.receipt], 0))
    ran = here.types("run", "--dataset", "errors")
    assert ran.exit_code == 1, ran.output
    assert "1 sent back in 1 messages, 0 parked, 0 letters settled" in ran.output
    assert "somebody else holds letters of the reprocess queue" in ran.output
    assert (len(here.bed.load_queue) - known, len(queue)) == (1, 2)


def test_a_run_of_everything_else_says_what_it_leaves(desk: Callable[..., Desk]) -> None:
    here = desk(about(1), message("one", "m9"))
    ran = here.types("run")
    assert ran.exit_code == 0, ran.output
    assert "1 sent back in 1 messages" in ran.output
    assert "To send them back: acequia reprocess run --dataset errors" in ran.output
    assert "--dataset errors" not in here.types("run", "--code", "bad_json").output


@pytest.mark.parametrize(("limit", "told"), [("1", True), ("2", True), ("3", False)])
def test_a_limit_that_is_reached_is_told(desk: Callable[..., Desk], limit: str, *, told: bool) -> None:
    here = desk(records((0, 0), (1, 0)))
    done = here.types("run", "--rehearse", "--limit", limit)
    assert done.exit_code == 0, done.output
    assert ("run it again for them" in " ".join(done.output.split())) == told
