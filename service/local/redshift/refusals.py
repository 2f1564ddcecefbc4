"""What the stand-in refuses, as the client sees it: a SQLSTATE, a message and Redshift's DETAIL block."""

from dataclasses import dataclass

SYNTAX_ERROR = "42601"
NOT_SUPPORTED = "0A000"
ENGINE_ERROR = "XX000"
OWN_LIMIT = "[stand-in]"
"""Opens every message that is the stand-in's own, where nobody knows Redshift's text or where it does less."""

SPECTRUM_SCAN = "Spectrum Scan Error"

_RULE = "-" * 47


@dataclass
class RefusedError(Exception):
    """A statement that is refused. Never carries a row's value."""

    sqlstate: str
    message: str
    detail: str = ""
    infos: tuple[str, ...] = ()
    """Lines at the level INFO that come before the error."""


@dataclass
class ScanError(Exception):
    """What went wrong inside a COPY: the number and text of its DETAIL block, and the message above it.

    `file` and what follows it are for SYS_LOAD_ERROR_DETAIL.
    """

    code: int
    context: str
    message: str = SPECTRUM_SCAN
    location: str = "dory_util.cpp"
    file: str = ""
    line: int = 0
    column: str = ""
    column_type: str = ""
    column_length: str = ""


def syntax_error(near: str) -> RefusedError:
    return RefusedError(SYNTAX_ERROR, f'syntax error at or near "{near}"')


def not_supported(message: str) -> RefusedError:
    return RefusedError(NOT_SUPPORTED, message)


def engine_error(error: ScanError, *, query: int) -> RefusedError:
    """An error of Redshift's engine: always XX000; what happened is told by the DETAIL block."""
    lines = (
        _RULE,
        f"error:  {error.message}",
        f"code:      {error.code}",
        f"context:   {error.context}",
        f"query:     {query}",
        f"location:  {error.location}",
        f"process:   worker_thread [pid={query}]",
        _RULE,
    )
    return RefusedError(ENGINE_ERROR, error.message, "\n  " + "\n  ".join(lines))


def serializable_violation(process: int) -> RefusedError:
    """Two transactions stand in each other's way. The numbers of Redshift's text are those of no real transaction."""
    detail = f"Serializable isolation violation on xid - {process},transactions forming the cycle are: "
    return RefusedError(ENGINE_ERROR, "1023", f"{detail}{process}, {process + 1} (pid:{process})")
