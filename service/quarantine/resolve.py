"""When what was sent back has come to where it should be: its error rows say `resolved`, and people are mailed.

A worker beside the quarantine layer. It looks at every round that is not over, at first each minute, then ever more
seldom. What is in a committed file for a while, and did not fail again, is resolved; a round is over when nothing of it
is waited for any more, or after `ROUND_DAYS_MAX`.

Durable effects, in this order: the round says which error files it owes → error rows stored → notice sent to the load
queue → fingerprints marked (by which the mailer knows) → the round owes nothing, and is maybe over.

    dies after the round       nothing lies at those addresses: the next look owes them anew
    dies after the rows        the next look announces them
    dies after the notice      they are announced twice; the ledger knows them
    dies after the marks       the same, and marking again changes nothing

Of a round whose sending died, the portions that were written down are announced, and it is taken for sent. Any number
of these workers may look at once: what one has done the others find done, or do once more in the same words.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from service.core.clock import LETTING_GO_SECONDS, Deadline
from service.core.errors import SetupError, TransientError
from service.core.marks import LandedMarks
from service.core.ports import Means, Queue
from service.core.retry import Backoff, Down
from service.core.zones import Zone
from service.quarantine.reprocess.fates import Facts, Fate, facts_of, fate_of, settled_now, waits_for
from service.quarantine.reprocess.parcels import batch_of
from service.quarantine.reprocess.restate import Restater, Restating
from service.quarantine.reprocess.rounds import Awaited, Round, Rounds, Seen, SentItem
from service.quarantine.reprocess.standing import mark_standings
from service.quarantine.reprocess.table import ErrorRow, read_table
