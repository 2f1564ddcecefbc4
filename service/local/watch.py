"""How far the worker is, read from its own `/metrics`, as an operator's Prometheus would."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

SCRAPE_SECONDS_MAX = 5.0


@dataclass(slots=True)
class Counts:
    """The worker's counters, summed over datasets."""

    received: int = 0
    landed: int = 0
    opened: int = 0
    refined: int = 0
    inserted: int = 0
    duplicate: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def rejected_total(self) -> int:
        """Records and messages in dead letters."""
        return self.rejected.total()

    @property
    def loaded(self) -> int:
        """Rows that reached the warehouse, new or known."""
        return self.inserted + self.duplicate


async def scrape(http: aiohttp.ClientSession, url: str) -> Counts | None:
    """Read the counters now; None while the worker does not answer."""
    try:
        async with asyncio.timeout(SCRAPE_SECONDS_MAX), http.get(url) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return None
    return _counts(text)


def _counts(text: str) -> Counts:
    totals: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "acequia_rejected_total":
                rejected[sample.labels["code"]] += int(sample.value)
            elif sample.name == "acequia_messages_received_total":
                totals[f"received {sample.labels['layer']}"] += int(sample.value)
            else:
                totals[sample.name] += int(sample.value) if sample.name.endswith("_total") else 0
    return Counts(
        received=totals["received land"],
        landed=totals["acequia_messages_landed_total"],
        opened=totals["acequia_records_opened_total"],
        refined=totals["acequia_records_refined_total"],
        inserted=totals["acequia_rows_inserted_total"],
        duplicate=totals["acequia_rows_duplicate_total"],
        rejected=rejected,
    )
