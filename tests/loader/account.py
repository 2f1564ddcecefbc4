"""What must be true of the world when its queue is empty, whatever happened on the way."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.core.notice import File, FileNotice
from service.core.zones import refined_place
from tests.loader.files import CODES, REFINED, SECRET, Batch, Event, Fault, Shape
from tests.loader.world import World

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """One file: what lies in it, how manieth replay of its batch made it, and the code of the letter it deserves."""

    batch: Batch
    how: Shape
    file: File
    events: Sequence[Event]
    replay: int
    code: str | None

    @property
    def place(self) -> tuple[str, str]:
        """The raw file and the partition: what the table's rows tell about where they come from."""
        return self.batch.raw_file, refined_place(REFINED, self.file.uri).partition


@dataclass
class Account:
    """Everything that was sent, so that what came of it can be checked."""

    made: dict[str, Made] = field(default_factory=dict)
    notices: list[FileNotice] = field(default_factory=list)
    strange: dict[str, str] = field(default_factory=dict)
    """Bodies that are no notices of ours, and the codes that they deserve."""

    def add(
        self,
        batch: Batch,
        how: Shape,
        files: Sequence[File],
        events: Sequence[Event],
        faults: Mapping[str, Fault] | None = None,
        *,
        replay: int = 0,
    ) -> None:
        """The files of a batch; `faults` says what is wrong with which partition's."""
        for file in files:
            partition = refined_place(REFINED, file.uri).partition
            inside = [event for event in events if event.partition == partition]
            code = CODES[faults[partition]] if faults and partition in faults else None
            self.made[file.uri] = Made(batch, how, file, inside, replay, code)

    def uris(self, batch: Batch) -> list[str]:
        """The files that were made of a batch so far."""
        return [made.file.uri for made in self.made.values() if made.batch == batch]

    async def check(self, world: World) -> None:
        """Each record once, with the values of a file that counts; the ledger adds up; letters are deserved."""
        assert not len(world.load), "every message is settled"
        good = [made for made in self.made.values() if made.code is None and made.replay == self._counts(made.batch)]
        rows, ledger = await world.rows(), await world.ledger()
        check_rows(rows, good, highest=world.dataset.version)
        check_ledger(ledger, good)
        self._check_letters(world)
        replayed = [made for made in self.made.values() if made.replay < self._counts(made.batch)]
        assert {row["uri"] for row in ledger if row["superseded_at"]} <= {made.file.uri for made in replayed}
        if world.dataset.version is None:
            brought = Counter({made.place: 0 for made in good})
            for row in (row for row in ledger if row["superseded_at"] is None):
                brought[self.made[row["uri"]].place] += row["inserted"] + row["replaced"]
            assert +brought == Counter((row["_raw_file"], f"dt={row['event_time']:%Y-%m-%d}") for row in rows)
        elif not replayed:
            assert sum(row["inserted"] for row in ledger) == len(rows)
        for made in replayed:
            assert not await world.stack.lake.lies(made.file.uri), "what a replay put others in the place of is removed"

    def _counts(self, batch: Batch) -> int:
        """The last replay of a batch that is good: only what it made counts. 0 where there is none."""
        bad = {(made.batch, made.replay) for made in self.made.values() if made.code is not None}
        every = {made.replay for made in self.made.values() if made.batch == batch}
        return max((number for number in every if number and (batch, number) not in bad), default=0)

    def _check_letters(self, world: World) -> None:
        """A letter for each message that named a bad file, and for no other. A replay may have made it pointless."""
        deserved: dict[str, set[str]] = {body: {code} for body, code in self.strange.items()}
        pointless = set()
        for notice in self.notices:
            bad = [made for file in notice.files if (made := self.made[file.uri]).code is not None]
            if bad:
                body = notice.to_json()
                deserved[body] = {str(made.code) for made in bad}
                if bad[0].replay < self._counts(bad[0].batch):
                    pointless.add(body)
        found = world.letters()
        bodies = {letter["original"]["body"] for letter in found}
        assert {*deserved} - pointless <= bodies <= {*deserved}
        for letter in found:
            assert letter["code"] in deserved[letter["original"]["body"]]
            assert SECRET not in letter["sentence"]


def check_rows(rows: Sequence[Row], good: Sequence[Made], *, highest: str | None) -> None:
    """Each record once, and its row is that of one of the files that hold it, of those with the highest version."""
    versions: dict[str, list[dict[str, Any]]] = {}
    for made in good:
        for event in made.events:
            versions.setdefault(event.record_id, []).append(_stored(event, made))
    assert Counter(row["_record_id"] for row in rows) == Counter(versions.keys())
    for row in rows:
        candidates = versions[row["_record_id"]]
        if highest is not None:
            most = max(one[highest] for one in candidates)
            candidates = [one for one in candidates if one[highest] == most]
        assert _plain(row) in candidates


def check_ledger(ledger: Sequence[Row], good: Sequence[Made]) -> None:
    """No file twice; those that count are in it, and all their rows are accounted for."""
    assert len({row["uri"] for row in ledger}) == len(ledger)
    live = {row["uri"]: row for row in ledger if row["superseded_at"] is None}
    assert {*live} == {made.file.uri for made in good}
    for made in good:
        row = live[made.file.uri]
        assert (row["row_count"], row["bytes"]) == (made.file.rows, made.file.content_length_bytes)
        assert (row["etag"], row["row_count"]) == (made.file.etag, row["inserted"] + row["duplicate"] + row["replaced"])
        assert min(row["inserted"], row["duplicate"], row["replaced"]) >= 0


def _stored(event: Event, made: Made) -> dict[str, Any]:
    """The row that a file's record becomes."""
    given = {name for name, _ in made.how.columns}
    return _plain({name: value if name in given else None for name, value in event.values(made.batch).items()})


def _plain(row: Row) -> dict[str, Any]:
    return {**row, "rest": None if row["rest"] is None else json.loads(row["rest"])}
