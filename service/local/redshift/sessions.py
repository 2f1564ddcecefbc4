"""BEGIN, COMMIT, ROLLBACK, SET, RESET, SHOW and LOCK: each form is checked word by word and written anew."""

from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported, syntax_error
from service.local.redshift.statements import Statement
from service.local.redshift.vocabulary import SETTINGS

_LEVELS = ({"SERIALIZABLE"}, {"REPEATABLE", "READ"}, {"READ", "COMMITTED"}, {"READ", "UNCOMMITTED"})
_UNKNOWN_SETTING = "42704"


def transaction_text(statement: Statement) -> str:
    """The transaction command for PostgreSQL. Any isolation level may be named; the database's counts."""
    first, *rest = statement.words(0, len(statement))
    if first == "START":
        if rest[:1] != ["TRANSACTION"]:
            raise syntax_error(statement.shown(1))
        first = "BEGIN"
    if rest[:1] in (["WORK"], ["TRANSACTION"]):
        rest = rest[1:]
    if first != "BEGIN":
        if rest:
            raise syntax_error(rest[0] or "end of input")
        return {"END": "COMMIT", "ABORT": "ROLLBACK"}.get(first, first)
    return f"BEGIN{_modes(rest)}"


def _modes(words: list[str]) -> str:
    remaining = [word for word in words if word != ","]
    mode = ""
    if remaining[:2] == ["ISOLATION", "LEVEL"]:
        taken = 3 if remaining[2:3] == ["SERIALIZABLE"] else 4
        if set(remaining[2:taken]) not in _LEVELS:
            raise syntax_error(" ".join(remaining[2:taken]) or "end of input")
        remaining = remaining[taken:]
    if remaining in (["READ", "ONLY"], ["READ", "WRITE"]):
        mode, remaining = f" {' '.join(remaining)}", []
    if remaining:
        raise syntax_error(remaining[0] or "end of input")
    return mode


def setting_text(statement: Statement) -> str:
    """SET, RESET or SHOW for PostgreSQL. Raises RefusedError for a setting that there is not."""
    first, at = statement.word(0), 1
    if first == "RESET" and statement.words(1, len(statement))[:1] == ("ALL",) and len(statement) == 2:  # noqa: PLR2004
        return "RESET ALL"
    scope = ""
    if first == "SET" and statement.word(1) in {"SESSION", "LOCAL"}:
        scope, at = f" {statement.word(1)}", 2
    setting = _setting(statement, at)
    rest = at + 1
    if first != "SET":
        if rest < len(statement):
            raise syntax_error(statement.shown(rest))
        return f"{first} {setting}"
    if statement.word(rest) not in {"TO", "="}:
        raise syntax_error(statement.shown(rest))
    if any(statement.word(place) in {"(", "."} for place in range(rest, len(statement))) or len(statement) == rest + 1:
        raise syntax_error(statement.shown(rest + 1))
    return f"SET{scope} {setting} TO {statement.text(rest + 1, len(statement))}"


def _setting(statement: Statement, at: int) -> str:
    name = statement.name(at)
    if statement.word(at) in {"AUTHORIZATION", "TRANSACTION", "CHARACTERISTICS", "ROLE"}:
        raise not_supported(f"{OWN_LIMIT} SET {statement.word(at)} is not supported.")
    if name not in SETTINGS or statement.word(at + 1) == ".":
        raise RefusedError(_UNKNOWN_SETTING, f'unrecognized configuration parameter "{name}"')
    return SETTINGS[name]


def check_lock(statement: Statement) -> None:
    """LOCK [TABLE] and names, no mode. Raises RefusedError."""
    start = 2 if statement.word(1) == "TABLE" else 1
    for first, stop in statement.parts(start, len(statement)) or [(start, start)]:
        if not statement.name(first) or statement.after_name(first) != stop:
            raise syntax_error(statement.shown(min(statement.after_name(first), stop)))
