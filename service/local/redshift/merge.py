"""MERGE as Redshift has it: both WHEN clauses or REMOVE DUPLICATES, a plain source, no other name for the target."""

from service.local.redshift.refusals import OWN_LIMIT, not_supported, syntax_error
from service.local.redshift.statements import Statement

_WHEN_MATCHED = ("WHEN", "MATCHED", "THEN")
_WHEN_NOT_MATCHED = ("WHEN", "NOT", "MATCHED", "THEN")


def merge_text(statement: Statement) -> str | None:
    """The statement for PostgreSQL where it must be another, None where it may go as it is. Raises RefusedError."""
    if statement.words(0, 2) != ("MERGE", "INTO"):
        raise syntax_error(statement.shown(1))
    using = statement.after_name(2)
    if statement.word(using) != "USING":
        raise syntax_error(statement.shown(using))  # a target has no other name
    on = statement.after_name(using + 1)
    if statement.word(using + 1) == "(":
        raise not_supported(f"{OWN_LIMIT} The source of MERGE must be a table.")
    target, source = statement.text(2, using), statement.text(using + 1, on)
    if target.lower() == source.lower():
        raise not_supported(f"{OWN_LIMIT} The source of MERGE must be another table than the target.")
    alias_end = on
    while statement.word(alias_end) != "ON":
        alias_end += 1
        if alias_end >= len(statement) or alias_end > on + 2:
            raise syntax_error(statement.shown(on))
    if statement.words(len(statement) - 2, 2) == ("REMOVE", "DUPLICATES"):
        condition = statement.text(alias_end + 1, len(statement) - 2)
        return _without_duplicates(target, source, statement.text(using + 1, alias_end), condition)
    _check_clauses(statement, alias_end)
    return None


def _check_clauses(statement: Statement, start: int) -> None:
    places = [at for at in range(start, len(statement)) if statement.word(at) == "WHEN" and not _in_case(statement, at)]
    found = [at for at in places if statement.words(at, 3) == _WHEN_MATCHED]
    missing = [at for at in places if statement.words(at, 4) == _WHEN_NOT_MATCHED]
    if len(places) != 2 or len(found) != 1 or len(missing) != 1:  # noqa: PLR2004 - one of each
        raise not_supported(f"{OWN_LIMIT} MERGE needs one WHEN MATCHED THEN and one WHEN NOT MATCHED THEN.")
    if found[0] > missing[0]:
        raise syntax_error("WHEN")


def _in_case(statement: Statement, at: int) -> bool:
    return statement.word(at + 1) not in {"MATCHED", "NOT"} or "MATCHED" not in statement.words(at + 1, 2)


def _without_duplicates(target: str, source: str, source_as_named: str, condition: str) -> str:
    """Rows that match are replaced; of equal rows in the source one arrives."""
    return (
        f"WITH replaced AS (DELETE FROM {target} USING {source_as_named} WHERE {condition}) "  # noqa: S608 - names
        f"MERGE INTO {target} USING (SELECT DISTINCT * FROM {source}) AS arrived ON false "
        "WHEN NOT MATCHED THEN INSERT VALUES (arrived.*)"
    )
