"""Errors of PostgreSQL, said as Redshift says them."""

import re
from typing import NamedTuple

from service.local.redshift import wire
from service.local.redshift.refusals import ENGINE_ERROR, NOT_SUPPORTED, OWN_LIMIT, serializable_violation
from service.local.redshift.wire import Message

CANCELLED = "57014"
CANCELLED_TEXT = "Query cancelled on user's request"
"""What Redshift says at a statement_timeout too. To a CANCEL it names the query, whose number is not known here."""

_SERIALIZATION_FAILURE = "40001"
_NO_FUNCTION = "42883"
_OWN_FUNCTION = "function redshift."
_PERMISSION_DENIED = "42501"
_NOT_NULL_VIOLATION = "23502"
_NULL_IN = re.compile(r'null value in column "(.*)" of relation ')
_DENIED_RELATION = re.compile(r"permission denied for (?:table|view|sequence) ")


class _Saying(NamedTuple):
    """An error of PostgreSQL, by its number and how its text begins, and Redshift's own."""

    sqlstate: str
    begins: str
    said_sqlstate: str
    said: str


_SAYINGS = (
    _Saying(
        "21000",
        "MERGE command cannot affect row a second time",
        ENGINE_ERROR,
        "Found multiple matches to update the same tuple.",
    ),
    _Saying(
        NOT_SUPPORTED,
        "cannot accept a value of type pg_node_tree",
        NOT_SUPPORTED,
        f"{OWN_LIMIT} A literal does not go into a SUPER here; use JSON_PARSE.",
    ),
    _Saying("428C9", "cannot insert a non-DEFAULT value", NOT_SUPPORTED, "cannot set an identity column to a value"),
    _Saying("428C9", "column ", NOT_SUPPORTED, f"{OWN_LIMIT} An identity column is not updated."),
    _Saying("22P02", "invalid input syntax for type json", "22P02", f"{OWN_LIMIT} JSON_PARSE of what is no JSON."),
    _Saying("22P05", "unsupported Unicode escape", "22P05", f"{OWN_LIMIT} JSON_PARSE of a zero character."),
    _Saying(CANCELLED, "canceling statement due to ", CANCELLED, CANCELLED_TEXT),
)


def as_redshift(message: Message, *, process: int) -> Message | None:
    """The ErrorResponse that Redshift would send in this one's place; None where it would say the same."""
    fields = wire.fields(message.body)
    sqlstate, told = fields.get("C", ""), fields.get("M", "")
    if sqlstate == _SERIALIZATION_FAILURE:
        violation = serializable_violation(process)
        return wire.error(violation.sqlstate, violation.message, violation.detail)
    if sqlstate == _PERMISSION_DENIED and _DENIED_RELATION.match(told):
        return wire.error(sqlstate, _DENIED_RELATION.sub("permission denied for relation ", told))
    if sqlstate == _NOT_NULL_VIOLATION and (found := _NULL_IN.match(told)) is not None:
        # The number is not certain: COPY's is XX000. PostgreSQL's DETAIL would quote the row.
        return wire.error(sqlstate, f"Cannot insert a NULL value into column {found[1]}")
    if sqlstate == _NO_FUNCTION and told.startswith(_OWN_FUNCTION):
        return wire.error(sqlstate, told.replace(_OWN_FUNCTION, "function ", 1))
    for saying in _SAYINGS:
        if sqlstate == saying.sqlstate and told.startswith(saying.begins):
            return wire.error(saying.said_sqlstate, saying.said)
    return None
