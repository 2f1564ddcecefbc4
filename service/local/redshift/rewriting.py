"""From a statement as a client of Redshift writes it to the text that PostgreSQL runs."""

from collections.abc import Iterator

import sqlglot
from sqlglot.errors import SqlglotError

from service.local.redshift.calls import call_edits
from service.local.redshift.correlations import check_correlations
from service.local.redshift.data_types import cast_edits
from service.local.redshift.grammar import called_functions, check_names, check_syntax
from service.local.redshift.kinds import TAKEN_OVER, Kind, kind_of
from service.local.redshift.merge import merge_text
from service.local.redshift.navigation import navigation_edits
from service.local.redshift.outer_joins import outer_join_edits
from service.local.redshift.refusals import NOT_SUPPORTED, OWN_LIMIT, RefusedError, not_supported
from service.local.redshift.rights import check_rights
from service.local.redshift.scope import scope_of, tree_of
from service.local.redshift.sessions import check_lock, setting_text, transaction_text
from service.local.redshift.statements import Edit, Statement, statements
from service.local.redshift.table_definitions import table_edits, table_note
from service.local.redshift.updates import check_update
from service.local.redshift.vocabulary import COMPUTE_ONLY, LEADER_ONLY, LEADER_ONLY_WORDS
from service.local.redshift.windows import check_windows

_LEADER_ONLY_USED = "Specified types or functions (one per INFO message) not supported on Redshift tables."
_COMPUTE_ONLY_ALONE = "One or more of the used functions must be applied on at least one user created table."
# Row numbers that PostgreSQL no longer has, and triggers that Redshift never had: the stand-in's own stay unseen.
_ASKED_BY_PSQL = (("C", ".", "RELHASOIDS"), ("C", ".", "RELHASTRIGGERS"))
_QUALIFIES = "QUALIFY"


def rewritten(statement: Statement) -> str:
    """The statement's text for PostgreSQL. Raises RefusedError, also for what the stand-in has to run itself."""
    kind = kind_of(statement)
    if kind in TAKEN_OVER:
        raise not_supported(
            f"{OWN_LIMIT} {statement.word(0)} is taken as a simple query only, not in the extended protocol."
        )
    match kind:
        case Kind.TRANSACTION:
            return transaction_text(statement)
        case Kind.SETTING:
            return setting_text(statement)
        case Kind.LOCK:
            check_lock(statement)
            return statement.text(0, len(statement))
        case Kind.RIGHTS:
            check_rights(statement)
            return statement.text(0, len(statement))
        case Kind.MERGE:
            return _merge(statement)
    edits = list(table_edits(statement)) if kind is Kind.TABLE else []
    check_syntax(statement)
    check_names(statement)
    check_windows(statement)
    _check_nodes(statement)
    _check_shape(statement)
    edits += _expressions(statement)
    text = statement.edited(_outermost(edits))
    if _QUALIFIES in statement.words(0, len(statement)):
        text = _without_qualify(text)
    return text + table_note(statement) if kind is Kind.TABLE else text


def _merge(statement: Statement) -> str:
    replacement = merge_text(statement)
    check_syntax(statement)
    check_names(statement)
    if replacement is None:
        return statement.edited(_expressions(statement))
    (changed,) = statements(replacement, string_bytes_max=statement.string_bytes_max)
    return changed.edited(_expressions(changed))


def _expressions(statement: Statement) -> Iterator[Edit]:
    yield from call_edits(statement)
    yield from navigation_edits(statement)
    yield from _cast_edits(statement)
    yield from outer_join_edits(statement)
    for at in range(len(statement)):
        if statement.words(at, 3) in _ASKED_BY_PSQL:
            yield statement.replaced(at, at + 3, "false")


def _cast_edits(statement: Statement) -> Iterator[Edit]:
    opened: list[bool] = []  # for each open parenthesis, whether it is a CAST's
    for at in range(len(statement)):
        match statement.word(at):
            case "(":
                opened.append(statement.word(at - 1) == "CAST")
            case ")" if opened:
                opened.pop()
            case "::":
                yield from cast_edits(statement, at + 1)
            case "AS" if opened and opened[-1]:
                yield from cast_edits(statement, at + 1)


def _outermost(edits: list[Edit]) -> list[Edit]:
    """Without edits inside of what another edit takes out, such as a function within a table's attribute."""
    return [
        edit
        for edit in edits
        if not any(other[0] <= edit[0] and edit[1] <= other[1] and other[:2] != edit[:2] for other in edits)
    ]


def _check_nodes(statement: Statement) -> None:
    """Some functions run on the leader alone, some on the compute nodes alone."""
    called = set(called_functions(statement))
    words = LEADER_ONLY_WORDS.intersection(statement.words(0, len(statement)))
    if not (called & (LEADER_ONLY | COMPUTE_ONLY) or words):
        return
    reads_user_table = scope_of(statement).reads_user_table
    if reads_user_table and (called & LEADER_ONLY or words):
        infos = tuple(f'Function "{shown}" not supported.' for shown in _shown_calls(statement))
        raise RefusedError(NOT_SUPPORTED, _LEADER_ONLY_USED, infos=infos)
    if not reads_user_table and called & COMPUTE_ONLY:
        raise RefusedError("XX000", _COMPUTE_ONLY_ALONE)


def _shown_calls(statement: Statement) -> Iterator[str]:
    """The leader's functions with the types of their arguments, as far as those are certain: whole numbers."""
    for at in range(len(statement)):
        if statement.word(at) in LEADER_ONLY_WORDS and statement.word(at - 1) != ".":
            yield f"{statement.name(at)}()"
        elif statement.name(at) in LEADER_ONLY and statement.word(at + 1) == "(":
            arguments = statement.parts(at + 2, statement.after_parentheses(at + 1) - 1)
            if all(stop - first == 1 and statement.word(first).isdecimal() for first, stop in arguments):
                yield f"{statement.name(at)}({','.join('integer' for _ in arguments)})"


def _check_shape(statement: Statement) -> None:
    """Queries in queries, and UPDATE with other tables, are refused where Redshift has no plan for them."""
    words = statement.words(0, len(statement))
    if words.count("SELECT") > 1 or (words.count("SELECT") and words[0] in {"UPDATE", "DELETE"}):
        check_correlations(tree_of(statement), reads_user_table=scope_of(statement).reads_user_table)
    if words[0] in {"UPDATE", "WITH"}:
        check_update(tree_of(statement))


def _without_qualify(text: str) -> str:
    """QUALIFY as a query around the query, which sqlglot writes rightly unless a star stands in the list."""
    try:
        tree = sqlglot.parse_one(text, read="postgres")
    except SqlglotError:
        tree = None
    selects = list(tree.find_all(sqlglot.exp.Select)) if tree else []
    if not selects or any(select.args.get("qualify") and select.is_star for select in selects):
        raise not_supported(f"{OWN_LIMIT} QUALIFY is not supported in this form; name the columns instead of *.")
    assert tree is not None
    return tree.sql(dialect="postgres")
