"""Faults on demand, for tests: each method arms one fault, `fired` counts how often each has happened.

A client sees a fault as it would see the real thing: an error of the server, or a connection that is reset.
"""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum

from service.local.redshift.refusals import OWN_LIMIT


class Fault(Enum):
    """What can go wrong; the value is its name in `fired`."""

    VIOLATE = "violate"
    DROP_BEFORE_COMMIT = "drop_before_commit"
    DROP_AFTER_COMMIT = "drop_after_commit"
    DELAY_COMMIT = "delay_commit"
    HANG = "hang"
    REFUSE_LOGINS = "refuse_logins"
    FAIL_COPY = "fail_copy"


_OF_COMMITS = frozenset({Fault.DROP_BEFORE_COMMIT, Fault.DROP_AFTER_COMMIT, Fault.DELAY_COMMIT})
_COMMIT = re.compile(r"\s*(commit|end)\b", re.IGNORECASE)


@dataclass
class _Armed:
    fault: Fault
    pattern: re.Pattern[str]
    times_left: int


class Faults:
    """The control of one stand-in. Patterns are regular expressions, searched in a statement's text in any case.

    Of several faults that match, the one that was armed first happens.
    """

    def __init__(self) -> None:
        self.fired: Counter[str] = Counter()
        self._armed: list[_Armed] = []
        self._errors: dict[str, str] = {}
        self._commit_pattern = re.compile("")
        self._commit_released = asyncio.Event()
        self._commit_waits = False

    def violate(self, pattern: str, *, times: int = 1) -> None:
        """The next matching statements fail with 1023, and their transactions with them."""
        self._arm(Fault.VIOLATE, pattern, times)

    def drop_before_commit(self, *, times: int = 1) -> None:
        """The connection is reset when COMMIT arrives: nothing is committed."""
        self._arm(Fault.DROP_BEFORE_COMMIT, "", times)

    def drop_after_commit(self, *, times: int = 1) -> None:
        """The connection is reset when COMMIT has taken effect: the client does not hear of it."""
        self._arm(Fault.DROP_AFTER_COMMIT, "", times)

    def delay_commit(self, *, until: str = "") -> None:
        """The connection is reset when COMMIT arrives, and COMMIT takes effect later.

        Later is when another connection has sent a statement that matches `until`.
        """
        self._commit_pattern = re.compile(until, re.IGNORECASE)
        self._commit_released.clear()
        self._arm(Fault.DELAY_COMMIT, "", 1)

    def hang(self, pattern: str, *, times: int = 1) -> None:
        """The next matching statements are neither run nor answered, until the client leaves."""
        self._arm(Fault.HANG, pattern, times)

    def refuse_logins(self, *, times: int = 1) -> None:
        """The next logins fail with 28P01."""
        self._arm(Fault.REFUSE_LOGINS, "", times)

    def fail_copy(
        self, uri: str, *, error: str = "S3ServiceException:Access Denied,Status 403", times: int = 1
    ) -> None:
        """The next COPYs that come to the file `uri` fail there, with `error` in their DETAIL."""
        self._errors[uri] = error
        self._arm(Fault.FAIL_COPY, f"^{re.escape(uri)}$", times)

    def login_refused(self) -> bool:
        return self._take("", {Fault.REFUSE_LOGINS}) is not None

    def file_error(self, uri: str) -> str | None:
        """The text with which the file cannot be read, None if it can."""
        if self._take(uri, {Fault.FAIL_COPY}) is None:
            return None
        return self._errors.get(uri, f"{OWN_LIMIT} failed on demand")

    def heard(self, sql: str) -> Fault | None:
        """What happens to a client that sends this text; None if nothing."""
        if self._commit_waits and self._commit_pattern.search(sql):
            self._commit_released.set()
        wanted = {Fault.VIOLATE, Fault.HANG} | (_OF_COMMITS if _COMMIT.match(sql) else set())
        fault = self._take(sql, wanted)
        self._commit_waits = self._commit_waits or fault is Fault.DELAY_COMMIT
        return fault

    async def commit_released(self) -> None:
        """Wait until the COMMIT that is delayed may take effect."""
        await self._commit_released.wait()
        self._commit_waits = False

    def _arm(self, fault: Fault, pattern: str, times: int) -> None:
        self._armed.append(_Armed(fault, re.compile(pattern, re.IGNORECASE), times))

    def _take(self, text: str, wanted: set[Fault] | frozenset[Fault]) -> Fault | None:
        for armed in self._armed:
            if armed.fault in wanted and armed.pattern.search(text):
                armed.times_left -= 1
                if armed.times_left == 0:
                    self._armed.remove(armed)
                self.fired[armed.fault.value] += 1
                return armed.fault
        return None
