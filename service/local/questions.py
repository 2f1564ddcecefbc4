"""What an analyst would ask: named questions in `sql/questions/<dataset>.sql`, else three that fit any dataset."""

import re
from pathlib import Path

from service.core.datasets import Dataset
from service.load.statements import identifier
from service.load.tables import target

_QUESTION = re.compile(r"^-- question: (.+)$", re.MULTILINE)


def questions(sql: Path, dataset: Dataset) -> list[tuple[str, str]]:
    """(question, statement), three of them."""
    path = sql / "questions" / f"{dataset.name}.sql"
    if not path.is_file():
        return _for_any(dataset)
    pieces = _QUESTION.split(path.read_text(encoding="utf-8"))[1:]
    return [
        (question, text.strip().removesuffix(";")) for question, text in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def _for_any(dataset: Dataset) -> list[tuple[str, str]]:
    table, time = target(dataset), identifier(dataset.event_time)
    span = f"SELECT COUNT(*) AS records, MIN({time}) AS first, MAX({time}) AS last FROM {table}"  # noqa: S608
    by_day = f"SELECT CAST({time} AS DATE) AS day, COUNT(*) AS records FROM {table} GROUP BY 1"  # noqa: S608
    by_file = f"SELECT _raw_file AS raw_file, COUNT(*) AS records FROM {table} GROUP BY 1"  # noqa: S608
    return [
        ("How many records are there, from when to when?", span),
        ("How many records are there by day, the latest first?", f"{by_day} ORDER BY 1 DESC LIMIT 10"),
        ("Which raw files brought the most records?", f"{by_file} ORDER BY 2 DESC, 1 LIMIT 5"),
    ]
