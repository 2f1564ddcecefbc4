"""What was rejected, counted: each record once, however often its letter was sent."""

import json
from collections import Counter
from collections.abc import Sequence

import asyncpg

from service.core.ports import Queue

LOOK_SECONDS = 30
"""How long a letter stays hidden while we count; it is given back afterwards."""


async def rejected_by_code(queues: Sequence[Queue]) -> dict[str, int]:
    """Records in dead letters, by code. A message or a file that was rejected whole counts as one."""
    places: dict[str, set[tuple[str, int, int]]] = {}
    whole: Counter[str] = Counter()
    seen: set[str] = set()
    for queue in queues:
        receipts: list[str] = []
        while messages := await queue.receive(wait_seconds=0, visibility_seconds=LOOK_SECONDS):
            for message in messages:
                receipts.append(message.receipt)
                letter = json.loads(message.body)
                if letter["error_id"] not in seen and "original" in letter:
                    whole[f"{letter['code']} (whole)"] += 1
                seen.add(letter["error_id"])
                found = ((letter["raw_file"], row, index) for row, index in letter.get("places", ()))
                places.setdefault(letter["code"], set()).update(found)
        await queue.hide(receipts, 0)
    counts = Counter({code: len(found) for code, found in places.items() if found})
    return dict(sorted((counts + whole).items()))


async def quarantined_by_code(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    """The same from the errors table."""
    rows = await connection.fetch(
        "SELECT code || CASE WHEN row_index IS NULL THEN ' (whole)' ELSE '' END, COUNT(*) "
        "FROM acequia.errors GROUP BY 1 ORDER BY 1"
    )
    return {row[0]: int(row[1]) for row in rows}
