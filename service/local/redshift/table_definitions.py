"""CREATE TABLE and ALTER TABLE: types are checked, and what PostgreSQL lacks or would enforce is taken out.

Keys are informational in Redshift, so PostgreSQL never sees them. NOT NULL is enforced in both.
"""

from collections.abc import Iterator

from service.local.redshift.data_types import column_edits
from service.local.redshift.distribution import check_distribution
from service.local.redshift.encodings import ENCODINGS, check_encoding
from service.local.redshift.identity import identity_edits
from service.local.redshift.keys import check_keys
from service.local.redshift.refusals import OWN_LIMIT, not_supported, syntax_error
from service.local.redshift.statements import Edit, Statement
from service.local.redshift.storage import altered_note, created_note

_KEYS_OF_TABLE = ("PRIMARY KEY", "UNIQUE", "FOREIGN KEY")
_REFUSED_COLUMN_WORDS = frozenset({"GENERATED", "COLLATE", "EXCLUDE", "STORAGE", "COMPRESSION"})


def table_edits(statement: Statement) -> Iterator[Edit]:
    """Raises RefusedError."""
    yield from _altered(statement) if statement.word(0) == "ALTER" else _created(statement)


def table_note(statement: Statement) -> str:
    """What storage.sql is told of the statement, as a comment to put behind it."""
    if statement.word(0) == "CREATE":
        return created_note(statement, created_name(statement))
    return altered_note(statement, 2)


def created_name(statement: Statement) -> int:
    """Where the name of CREATE [LOCAL] [TEMP] TABLE [IF NOT EXISTS] stands."""
    at = 1
    while statement.word(at) in {"LOCAL", "TEMP", "TEMPORARY"}:
        at += 1
    return at + 4 if statement.word(at + 1) == "IF" else at + 1


def _created(statement: Statement) -> Iterator[Edit]:
    start = created_name(statement)
    at = statement.after_name(start)
    table = statement.name(at - 1)
    if table.startswith("#"):
        raise not_supported(f"{OWN_LIMIT} Write CREATE TEMP TABLE instead of a # before the name.")
    end = statement.after_parentheses(at)
    is_list_of_names = statement.word(end) == "AS" or all(
        stop - first == 1 for first, stop in statement.parts(at + 1, end - 1)
    )
    if end > at and not is_list_of_names:
        check_keys(statement, at + 1, end - 1)
        yield from _elements(statement, at + 1, end - 1, table)
    attributes = end
    while end < len(statement) and statement.word(end) != "AS":
        length = _table_attribute_length(statement, end)
        if not length:
            raise syntax_error(statement.shown(end))
        yield statement.blanked(end, end + length)
        end += length
    if is_list_of_names:
        check_distribution(statement, attributes, attributes, end)
    else:
        check_distribution(statement, at + 1, attributes - 1, end)


def _elements(statement: Statement, start: int, end: int, table: str) -> Iterator[Edit]:
    """Columns and table constraints between the parentheses."""
    kept_any = False
    for first, stop in statement.parts(start, end):
        at = first + 2 if statement.word(first) == "CONSTRAINT" else first
        if statement.word(at) in _KEYS_OF_TABLE:
            # The comma before goes too; that of a first element is the one after.
            yield statement.blanked(first - 1 if kept_any else first, stop if kept_any else min(stop + 1, end))
            continue
        if statement.word(at) == "CHECK":
            raise not_supported("CREATE TABLE CHECK constraint is not supported")
        if statement.word(at) == "EXCLUDE":
            raise syntax_error("EXCLUDE")
        kept_any = True
        if statement.word(first) == "LIKE":
            _check_like(statement, statement.after_name(first + 1), stop)
        else:
            yield from column_edits(statement, first + 1, table=table, column=statement.name(first))
            yield from _column_attributes(statement, first + 2, stop)
            check_encoding(statement, first + 1, stop)
            yield from identity_edits(statement, first + 1, stop)


def _check_like(statement: Statement, start: int, end: int) -> None:
    if statement.words(start, end - start) not in {(), ("INCLUDING", "DEFAULTS"), ("EXCLUDING", "DEFAULTS")}:
        raise syntax_error(statement.shown(start))


def _column_attributes(statement: Statement, start: int, end: int) -> Iterator[Edit]:
    at = start
    while at < end:
        if statement.word(at) == "CHECK":
            raise not_supported("ALTER/CREATE TABLE column CHECK constraint is not supported")
        if statement.word(at) in _REFUSED_COLUMN_WORDS:
            raise not_supported(f"{OWN_LIMIT} The column attribute {statement.word(at)} is not supported.")
        if statement.word(at) == "ENCODE" and statement.word(at + 1) not in ENCODINGS:
            raise syntax_error(statement.shown(at + 1))
        length = _column_attribute_length(statement, at)
        if length:
            yield statement.blanked(at, at + length)
        at = at + length if length else max(statement.after_parentheses(at), at + 1)


def _column_attribute_length(statement: Statement, at: int) -> int:
    """How many tokens the column attribute at `at` has; 0 if none that PostgreSQL lacks or would enforce."""
    match statement.word(at), statement.word(at + 1):
        case "CONSTRAINT", _:
            inner = _column_attribute_length(statement, at + 2)
            return inner + 2 if inner and statement.word(at + 2) in {*_KEYS_OF_TABLE, "REFERENCES"} else 0
        case "ENCODE", following if following != "(":
            return 2
        case (("DISTKEY" | "SORTKEY" | "UNIQUE" | "PRIMARY KEY"), _):
            return statement.after_parentheses(at + 1) - at
        case "REFERENCES", _:
            return statement.after_parentheses(statement.after_name(at + 1)) - at
    return 0


def _table_attribute_length(statement: Statement, at: int) -> int:
    match statement.word(at), statement.word(at + 1):
        case "DISTSTYLE", ("AUTO" | "EVEN" | "KEY" | "ALL"):
            return 2
        case "BACKUP", ("YES" | "NO"):
            return 2
        case (("ENCODE" | "SORTKEY"), "AUTO"):
            return 2
        case (("DISTKEY" | "SORTKEY"), "("):
            return statement.after_parentheses(at + 1) - at
        case (("COMPOUND" | "INTERLEAVED"), "SORTKEY"):
            return statement.after_parentheses(at + 2) - at
    return 0


def _altered(statement: Statement) -> Iterator[Edit]:
    """ALTER TABLE t: ADD [COLUMN], DROP COLUMN, ALTER COLUMN … TYPE VARCHAR, RENAME, OWNER TO. One change each."""
    at = statement.after_name(2)
    table = statement.name(at - 1)
    if any(statement.word(place) == "," for _, place in statement.parts(at, len(statement))):
        raise syntax_error(",")
    match statement.words(at, 2):
        case "APPEND", _:
            raise not_supported(f"{OWN_LIMIT} ALTER TABLE APPEND is not supported.")
        case "ADD", second if second in {"CONSTRAINT", *_KEYS_OF_TABLE}:
            raise not_supported(f"{OWN_LIMIT} ALTER TABLE … ADD of a key is not supported; name keys in CREATE TABLE.")
        case "ADD", second:
            column = at + 2 if second == "COLUMN" else at + 1
            _check_added(statement, column + 2)
            yield from column_edits(statement, column + 1, table=table, column=statement.name(column))
            yield from _column_attributes(statement, column + 2, len(statement))
            check_encoding(statement, column + 1, len(statement))
        case ("ALTER", "COLUMN") if statement.words(at + 3, 2) == ("TYPE", "VARCHAR"):
            yield from _resized(statement, at + 2, table=table)
        case ("DROP", "COLUMN") | ("RENAME", "TO") | ("RENAME", "COLUMN") | ("OWNER", "TO"):
            return
        case _:
            raise not_supported(f"{OWN_LIMIT} This form of ALTER TABLE is not supported.")


def _resized(statement: Statement, column: int, *, table: str) -> Iterator[Edit]:
    """ALTER COLUMN c TYPE VARCHAR(n), where no value is cut."""
    after = statement.after_parentheses(column + 3)
    if after < len(statement):
        raise syntax_error(statement.shown(after))
    for start, end, new in column_edits(statement, column + 2, table=table, column=statement.name(column)):
        size_bytes = new.removeprefix("varchar(").removesuffix(")")
        yield start, end, f"{new} USING redshift.not_cut({statement.text(column, column + 1)}, {size_bytes})"


def _check_added(statement: Statement, start: int) -> None:
    """What a column may not be that is added later (AWS: ALTER TABLE). Raises RefusedError."""
    words = statement.words(start, len(statement) - start)
    for refused in ("IDENTITY", "UNIQUE", "PRIMARY KEY", "REFERENCES", "DISTKEY", "SORTKEY"):
        if refused in words:
            raise not_supported(f"{OWN_LIMIT} {refused} does not go with ADD COLUMN.")
    if "DEFAULT" not in words and any(words[at : at + 2] == ("NOT", "NULL") for at in range(len(words))):
        raise not_supported("ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression")
