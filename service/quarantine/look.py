"""What may have to be mailed, seen cheaply: a listing, and the objects that it shows changed."""

import re
from datetime import datetime
from heapq import nlargest
from operator import attrgetter

from service.core.ports import Listed, Means
from service.core.zones import Zone
from service.quarantine.states import PREFIX, State, States

STATES_MAX = 10_000
"""Fingerprints that are looked at, those that changed last; their number is that of causes, which are few."""
SETTLED_SECONDS = 60.0
"""A listing tells moments in whole seconds, so an object that changed lately may have changed again unseen."""

_NAME = re.compile(r"([0-9a-f]{16})\.json")


class Look:
    """A hint: what is decided upon is read again by then. Holds the states that have not changed for a while."""

    def __init__(self, zone: Zone, states: States, means: Means) -> None:
        self._prefix = zone.uri(PREFIX)
        self._states = states
        self._means = means
        self._seen: dict[Listed, State] = {}

    async def states(self) -> list[State]:
        """All fingerprints, as far as they can be seen so."""
        now = self._means.clock.now()
        listed: list[Listed] = []
        async for page in self._means.store.pages(self._prefix):
            named = [one for one in page if self._name(one)]
            listed = nlargest(STATES_MAX, [*listed, *named], key=attrgetter("stored_at"))
        kept = {one: self._seen[one] for one in listed if one in self._seen}
        changed = {name: one for one in listed if one not in kept and (name := self._name(one))}
        read = await self._states.read(changed)
        settled = [(changed[state.fingerprint], state) for state in read if _settled(changed[state.fingerprint], now)]
        self._seen = {**kept, **dict(settled)}
        return [*kept.values(), *read]

    def _name(self, one: Listed) -> str | None:
        found = _NAME.fullmatch(one.uri.removeprefix(self._prefix))
        return found and found[1]


def _settled(listed: Listed, now: datetime) -> bool:
    return (now - listed.stored_at).total_seconds() > SETTLED_SECONDS
