"""The types of columns and casts: which there are, and how PostgreSQL writes Redshift's.

A VARCHAR or TEXT without a length has 256 bytes, a DECIMAL without a precision has 18 digits and no fraction.
"""

from collections.abc import Iterator

from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported
from service.local.redshift.statements import VARCHAR_BYTES_MAX, Edit, Statement
from service.local.redshift.vocabulary import CATALOGUE_TYPES, KNOWN_BUT_FORBIDDEN_TYPES, TYPES

CHAR_BYTES_MAX = 4096
DECIMAL_DIGITS_MAX = 38
DECIMAL_SCALE_MAX = 37

_UNDEFINED_OBJECT = "42704"
_DEFAULT_BYTES = 256
_VARYING = frozenset({"VARCHAR", "NVARCHAR", "CHARACTER VARYING", "CHAR VARYING", "NCHAR VARYING"})
_FIXED = frozenset({"CHAR", "CHARACTER", "NCHAR"})
_TIMES = frozenset({"TIME", "TIMETZ", "TIMESTAMP", "TIMESTAMPTZ"})
_UNSIZED = {"TEXT": f"varchar({_DEFAULT_BYTES})", "BPCHAR": f"char({_DEFAULT_BYTES})"}


def cast_edits(statement: Statement, at: int) -> Iterator[Edit]:
    """The edits to the type at `at`, which a value is cast to. Raises RefusedError for a type that there is not."""
    if statement.words(at, 2) == ("PG_CATALOG", "."):
        if statement.name(at + 2) not in CATALOGUE_TYPES:
            raise _no_such_type(statement.shown(at + 2))
        return
    if _plain(statement, at) not in TYPES | CATALOGUE_TYPES:
        raise _no_such_type(_plain(statement, at))
    is_max = statement.words(at + 1, 2) == ("(", "MAX")
    if statement.word(at) in _VARYING and is_max and statement.string_bytes_max > VARCHAR_BYTES_MAX:
        # PostgreSQL takes no length of that size; without one it cuts nothing.
        yield statement.replaced(at, statement.after_parentheses(at + 1), "varchar")
        return
    yield from _edits(statement, at)


def column_edits(statement: Statement, at: int, *, table: str, column: str) -> Iterator[Edit]:
    """The edits to the type at `at`, which a column is declared with. Raises RefusedError."""
    plain = _plain(statement, at)
    after = statement.after_parentheses(at + 1)
    if statement.word(after) == "[" or statement.word(after) == "ARRAY":
        raise _unsupported(table, column, f"{plain}[]")
    if plain in KNOWN_BUT_FORBIDDEN_TYPES:
        raise _unsupported(table, column, plain)
    if plain not in TYPES:
        raise _no_such_type(plain)
    if plain == "interval":
        raise not_supported(f"{OWN_LIMIT} A column of the type INTERVAL is not supported.")
    yield from _edits(statement, at)


def _edits(statement: Statement, at: int) -> Iterator[Edit]:
    word, sized = statement.word(at), statement.word(at + 1) == "("
    after = statement.after_parentheses(at + 1)
    if word in _UNSIZED:
        yield statement.replaced(at, after, _UNSIZED[word])
    elif word in _VARYING:
        bytes_max = _size(statement, at + 2, VARCHAR_BYTES_MAX) if sized else _DEFAULT_BYTES
        yield statement.replaced(at, after, f"varchar({bytes_max})")
    elif word in _FIXED and statement.word(at + 1) != "VARYING":
        yield statement.replaced(at, after, f"char({_size(statement, at + 2, CHAR_BYTES_MAX) if sized else 1})")
    elif word in _TIMES and sized:
        raise not_supported(f"{OWN_LIMIT} {word} takes no precision.")
    elif word in {"DECIMAL", "NUMERIC"}:
        if sized:
            _check_decimal(statement, at + 2)
        else:
            yield statement.replaced(at, after, "numeric(18, 0)")


def _check_decimal(statement: Statement, at: int) -> None:
    digits = _size(statement, at, DECIMAL_DIGITS_MAX)
    if statement.word(at + 1) != ",":
        return
    scale = statement.word(at + 2)
    if not scale.isdecimal() or int(scale) > min(digits, DECIMAL_SCALE_MAX):
        text = f"{OWN_LIMIT} A scale must be between 0 and the precision, and at most {DECIMAL_SCALE_MAX}."
        raise RefusedError("22023", text)


def _size(statement: Statement, at: int, most: int) -> int:
    if statement.word(at) == "MAX":
        return most
    size = int(statement.word(at)) if statement.word(at).isdecimal() else 0
    if not 1 <= size <= most:
        raise RefusedError("22023", f"{OWN_LIMIT} A length or precision must be between 1 and {most}.")
    return size


def _plain(statement: Statement, at: int) -> str:
    return statement.name(at).split(" ")[0] or statement.shown(at)


def _no_such_type(name: str) -> RefusedError:
    return RefusedError(_UNDEFINED_OBJECT, f'type "{name}" does not exist')


def _unsupported(table: str, column: str, kind: str) -> RefusedError:
    return not_supported(f'Column "{table}.{column}" has unsupported type "{kind}".')
