"""What fills the places of the load statements: names, columns, and which rows give way to which."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from service.core.datasets import Dataset
from service.core.moments import sql_moment
from service.load.groups import Group
from service.load.statements import identifier, listed, literal
from service.load.tables import ledger, stage_type, target

STAGE, FRESH = "acequia_stage", "acequia_fresh"


def group_places(group: Group, *, large_strings: bool) -> Mapping[str, str]:
    """The places that are the same all through a group's transaction."""
    dataset, columns = group.dataset, group.columns
    as_super = large_strings and any(kind == "super" for _, kind in columns)
    return {
        "ledger": ledger(dataset.name),
        "target": target(dataset),
        "stage": identifier(STAGE),
        "fresh": identifier(FRESH),
        "columns": listed(identifier(name) for name, _ in columns),
        "stage_columns": listed(
            f"{identifier(name)} {stage_type(kind, large_strings=large_strings)}" for name, kind in columns
        ),
        "parsed_columns": listed(_parsed(name, kind, large_strings=large_strings) for name, kind in columns),
        "super_option": "SERIALIZETOJSON" if as_super else "",
        "cut_by": identifier(group.event_time),
        "cut_format": literal("YYYY-MM-DD HH24" if group.hourly else "YYYY-MM-DD"),
        "event_time": identifier(dataset.event_time),
    }


def fresh_places(group: Group, raw_files: Sequence[str], span: tuple[datetime, datetime] | None) -> Mapping[str, str]:
    """Which staged rows go in: those that the table has not, has in a lower version, or has from a replayed file.

    With a span of event times the table is searched around it alone. A row without a version, from the days before the
    column was there, is lower than any.
    """
    yields = ["present._record_id IS NULL"]
    order = ["staged._received_at", "staged._raw_file", "staged._row_number"]
    if versioned(group):
        version = identifier(str(group.dataset.version))
        yields.append(f"present.{version} < staged.{version}")
        yields.append(f"(present.{version} IS NULL AND staged.{version} IS NOT NULL)")
        order = [f"CASE WHEN staged.{version} IS NULL THEN 1 ELSE 0 END", f"staged.{version} DESC", *order]
    if raw_files:
        yields.append(f"present._raw_file IN ({listed(map(literal, raw_files))})")
    return {"yields": " OR ".join(yields), "order": listed(order), "near": _near(group.dataset, span)}


def versioned(group: Group) -> bool:
    """Whether the group's rows have a version to compare: files from before the column was there do not."""
    return any(name == group.dataset.version for name, _ in group.columns)


def _near(dataset: Dataset, span: tuple[datetime, datetime] | None) -> str:
    if span is None:
        return ""
    around = timedelta(days=dataset.duplicate_days or 0)
    earliest, latest = (literal(sql_moment(moment)) for moment in (span[0] - around, span[1] + around))
    return f" AND present.{identifier(dataset.event_time)} BETWEEN {earliest} AND {latest}"


def _parsed(name: str, kind: str, *, large_strings: bool) -> str:
    """A staged column on its way into the table: JSON text becomes SUPER.

    Only a cast brings a SUPER string to where JSON_PARSE takes it; in a cast varchar(max) means large strings' length.
    """
    if kind != "super":
        return identifier(name)
    return f"JSON_PARSE({identifier(name)}::varchar(max))" if large_strings else f"JSON_PARSE({identifier(name)})"
