"""Which files share a COPY, and in which order the groups go."""

from datetime import UTC, datetime, timedelta

from service.core.errors_dataset import ERRORS
from service.core.notice import File, FileNotice, Replaces
from service.load.groups import groups

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def uri(batch: int, *, day: int = 1, definition: str = "0" * 12) -> str:
    return f"s3://refined/errors/dt=2026-02-{day:02d}/20260201T100000000Z-{batch:016x}.{definition}.parquet"


def notice(*uris: str, hours: int = 0, replaces: str | None = None) -> FileNotice:
    return FileNotice(
        dataset="errors",
        zone="refined",
        files=[File(one, "etag", 10, 3) for one in uris],
        columns=ERRORS.stored_columns,
        batch_id="b",
        definition="0" * 12,
        produced_at=NOON + timedelta(hours=hours),
        replaces=None if replaces is None else Replaces(replaces, ()),
    )


def grouped(*notices: FileNotice) -> list[list[str]]:
    return [[one for unit in group.units for one in unit.uris] for group in groups(ERRORS, notices, "g")]


def test_files_of_different_raw_files_share_a_copy_whatever_definition_wrote_them() -> None:
    one, other = uri(1), uri(2, definition="1" * 12)
    assert grouped(notice(one), notice(other)) == [[one, other]]


def test_two_files_of_one_raw_file_and_partition_take_turns_the_older_first() -> None:
    old, new, other = uri(1), uri(1, definition="1" * 12), uri(1, day=2)
    assert grouped(notice(new, hours=1), notice(old, other)) == [[old, other], [new]]


def test_the_same_file_twice_is_one_unit() -> None:
    assert grouped(notice(uri(1)), notice(uri(1), uri(2), hours=1)) == [[uri(1), uri(2)]]


def test_replays_come_last_and_those_of_one_raw_file_one_after_the_other() -> None:
    raw = "s3://raw/errors/dt=2026-02-01/hr=10/20260201T100000000Z-0000000000000001.parquet"
    younger, older, plain = uri(1, definition="2" * 12), uri(1, definition="1" * 12), uri(3)
    replays = (notice(younger, hours=2, replaces=raw), notice(older, hours=1, replaces=raw))
    assert grouped(*replays, notice(plain, hours=3)) == [[plain], [older], [younger]]
