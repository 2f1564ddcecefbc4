"""kill -9 of the quarantine layer at each of its effects. The scenarios begin together, see `conftest.py`."""

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from service.core.model import Attribute, Outgoing
from tests.faults.actions import kill_after, kill_before
from tests.faults.by_hand import Point, dies
from tests.faults.calls import Action
from tests.faults.events import loans, spoiled, within_days
from tests.faults.history import chosen
from tests.faults.line import Line
from tests.faults.rejected import announced, check_rejected, dead_letters, place_of
from tests.faults.topic import topic

ALONE = {"ACEQUIA_LAYERS": "quarantine"}
MAILBOX = "fingerprints/_mailbox.json"
EFFECTS = (
    Point("PutObject", "/originals/"),
    Point("PutObject", "/errors/dt="),
    Point("SendMessageBatch", "-load$"),
    Point("PutObject", "/fingerprints/[0-9a-f]{16}"),
    Point("SendMessageBatch", "-reprocess$"),
    Point("DeleteMessageBatch", "-dlq$"),
)
"""In their order."""
MAIL_EFFECTS = (
    Point("PutObject", "/_mailbox"),
    Point("Publish"),
    Point("PutObject", "/_mailbox", skip=1),
    Point("PutObject", "/fingerprints/[0-9a-f]{16}"),
    Point("PutObject", "/_mailbox"),
)
"""Claimed, sent, known to be sent, told of each fingerprint, done with. From the third on others may do the rest."""
LEASE_OVER = timedelta(seconds=130)


async def killed_before(line: Line) -> None:
    """Before each effect, again and again with the same letters."""
    await _killed(line, kill_before)


async def killed_after(line: Line) -> None:
    """After each effect, again and again with the same letters."""
    await _killed(line, kill_after)


async def _killed(line: Line, action: Action) -> None:
    codes = await reject(line)
    for point in EFFECTS:
        await dies(line, point, action, **ALONE)
        assert await dead_letters(line) > 0, "it was not done with all"
    await line.start(**ALONE)
    await quarantined(line)
    found = await check_rejected(line, codes)
    assert {row.error_id for row in found.rows} <= {row.error_id for row in found.told}
    told = {uri for uri in announced(line, "load") if "/errors/dt=" in uri}
    assert len(told) > len({row.uri.split("/dt=")[1][:10] for row in found.told}), "rows came again in other files"


async def killed_anywhere(line: Line, seed: int) -> None:
    """Eight times at random calls: letters that come more than ten times are kept, but not looked into."""
    dice, codes = random.Random(seed), await reject(line)
    for _ in range(8):
        await dies(line, Point("", skip=dice.randrange(8, 60)), dice.choice([kill_before, kill_after]), **ALONE)
    await line.start(**ALONE)
    await quarantined(line)
    await check_rejected(line, codes)


async def reject(line: Line) -> dict[str, int]:
    """Have a worker of the other layers reject things of every kind, one moved by SQS itself; how many for what."""
    good = within_days(loans(120), 2)
    bad = [*spoiled(good[:3], "transition"), *spoiled(good[3:5], "amount_requested")]
    await line.start()
    await line.send(line.messages([*good, *bad], records_per_message=25))
    await line.send(line.messages(["{}", "{}"], records_per_message=1, dataset="nobodys"))
    await line.send([Outgoing("no notice")], to="load")
    await line.idle()
    await line.send([Outgoing(good[0], {"dataset": Attribute("String", line.dataset)})], to="records-dlq")
    assert await line.rows() == len(good)
    return {"too_long": 3, "bad_type": 2, "unknown_dataset": 2, "bad_notice": 1, "redriven": 1}


async def quarantined(line: Line) -> None:
    """Wait until no dead letter is left, and the error rows are loaded."""

    async def through() -> bool:
        return await dead_letters(line) + await line.left() == 0

    await line.until(through, seconds_max=120)


async def mail_killed(line: Line) -> None:
    """Before and after each effect of one mail. SNS has it thrice: twice its sender died before that was known."""
    people = await topic(line)
    await line.send([Outgoing("{}"), Outgoing("[]")], to="records-dlq")
    await line.send([Outgoing("no notice")], to="refine-dlq")
    first = await line.start(**ALONE)
    await line.until(lambda: _no_letters(line))
    assert await first.drained() == 0
    await _since(line, lambda known: {**known, "untold_since": _earlier(known["untold_since"])})
    for point in MAIL_EFFECTS:
        for action in (kill_before, kill_after):
            await dies(line, point, action, **ALONE, ACEQUIA_ALERTS_TOPIC_ARN=people.arn)
            await _lease_over(line)
    last = await line.start(**ALONE, ACEQUIA_ALERTS_TOPIC_ARN=people.arn)

    async def looked_twice() -> bool:
        looks = chosen(line.history.read(), "done", "ListObjects", "/fingerprints/", worker=last.name)
        return len(list(looks)) >= 2

    await line.until(looked_twice)
    assert await last.drained() == 0
    mails = await people.mails()
    assert mails == ["Acequia: new: 2 kinds of failure (3)"] * 3
    assert last.said("mail_sent") == []
    body = json.loads(await _read(line, MAILBOX))
    assert body["claim"] is None


async def _no_letters(line: Line) -> bool:
    return await dead_letters(line) == 0


async def _lease_over(line: Line) -> None:
    """The claim of a mail is older than any lease."""

    def change(known: dict[str, Any]) -> dict[str, Any]:
        claim = known["claim"]
        return {**known, "claim": claim and {**claim, "at": _earlier(claim["at"])}}

    bucket, key = place_of(line, MAILBOX)
    found = await line.services.aws.s3.list_objects_v2(Bucket=bucket, Prefix=key)
    if found.get("Contents"):
        await _write(line, MAILBOX, change)


async def _since(line: Line, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change what is known of each fingerprint."""
    bucket, prefix = place_of(line, "fingerprints/")
    found = await line.services.aws.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
    for one in found["Contents"]:
        await _write(line, f"fingerprints/{one['Key'].removeprefix(prefix)}", change)


async def _write(line: Line, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    bucket, key = place_of(line, name)
    body = json.dumps(change(json.loads(await _read(line, name))))
    await line.services.aws.s3.put_object(Bucket=bucket, Key=key, Body=body.encode())


async def _read(line: Line, name: str) -> bytes:
    bucket, key = place_of(line, name)
    answer = await line.services.aws.s3.get_object(Bucket=bucket, Key=key)
    async with answer["Body"] as body:
        return bytes(await body.read())


def _earlier(moment: str) -> str:
    return (datetime.fromisoformat(moment) - LEASE_OVER).isoformat()


LETTERS = (killed_before, killed_after, mail_killed)
