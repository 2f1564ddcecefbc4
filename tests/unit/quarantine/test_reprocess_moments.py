"""Moments that no clock tells: an older version has stored such originals, and they go back all the same."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from service.core.datasets import Dataset
from service.core.model import Outgoing
from service.quarantine import arrivals
from tests.fakes.time import run_virtual
from tests.unit.quarantine.bench import dead
from tests.unit.quarantine.reprocess_bed import Bed, message

SENT_AT = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


def letter(sent_at: str) -> Outgoing:
    """Anybody can write one."""
    outgoing = message("strange", "m1").outgoing()
    given = json.loads(outgoing.body)
    given["original"]["sent_at"] = sent_at
    return replace(outgoing, body=json.dumps(given))


async def taken(bed: Bed, sent_at: str) -> None:
    now = bed.means.clock.now()
    strange = replace(dead(letter(sent_at).body, "d7"), received_at=now)
    await bed.take(strange, sealed_at=now)
    await bed.fail(message("plain", "m2"))


@pytest.mark.parametrize("sent_at", SENT_AT)
def test_what_is_stored_already_is_rehearsed_and_sent(
    loans: Dataset, monkeypatch: pytest.MonkeyPatch, sent_at: str
) -> None:
    monkeypatch.setattr(arrivals, "_timely", lambda *_: True, raising=False)
    bodies = _bodies(lambda bed: taken(bed, sent_at), loans)
    assert sorted(bodies) == ["plain", "strange"]


@pytest.mark.parametrize("sent_at", SENT_AT)
def test_what_comes_now_is_kept_and_goes_back_as_what_it_is(loans: Dataset, sent_at: str) -> None:
    bodies = _bodies(lambda bed: taken(bed, sent_at), loans)
    assert sorted(bodies) == sorted(["plain", letter(sent_at).body])


def _bodies(fail: Callable[[Bed], Awaitable[None]], loans: Dataset) -> list[str]:
    """Of everything that is sent back."""

    async def main() -> list[str]:
        bed = Bed({"loans": loans}, source="land")
        await fail(bed)
        planned = await bed.planned()
        assert (len(planned.items), planned.forecast.unknown) == (2, 0)
        assert (await bed.run()).sent == 2
        return bed.queues["land"].bodies

    return run_virtual(main())
