"""What the benchmarks share: photographs, scratch space, flows in child processes, the table."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
SCRATCH: Final = REPOSITORY / ".bench"
PROCESSES: Final = 2
_COLUMNS: Final = ("what", "figure", "floor or peer", "ratio", "reach", "met?")


class Skipped(Exception):
    """Raised by a part that cannot run here; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `met` is None where no reach was set, or nothing was measured.

    `numbers` go into `.bench/results.json` and not into the table.
    """

    what: str
    figure: str
    peer: str = ""
    ratio: str = ""
    reach: str = ""
    met: bool | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


def say(text: str) -> None:
    """Tell how far the benchmark has come."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def markdown(rows: Iterable[Row]) -> str:
    """Lay rows out as a Markdown table with columns of even width."""
    words = {True: "yes", False: "**no**", None: "–"}
    lines = [(r.what, r.figure, r.peer, r.ratio, r.reach, words[r.met]) for r in rows]
    cells = [_COLUMNS, *lines]
    widths = [max(len(line[k]) for line in cells) for k in range(len(_COLUMNS))]

    def join(line: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"

    ruler = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([join(_COLUMNS), ruler, *map(join, lines)])


def as_json(rows: Iterable[Row]) -> str:
    """Encode rows with all their numbers."""
    return json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n"


def median(values: Iterable[float]) -> float:
    """Middle value; the mean of the middle two of an even number."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def photographs() -> list[Path]:
    """Find the clothing photographs, sorted.

    Raises
    ------
    Skipped
        If they are not at hand.
    """
    default = REPOSITORY.parent / "shared" / "data" / "clothing"
    folder = Path(os.environ.get("NONESUCH_REAL_DATA", default)) / "images"
    found = sorted(folder.glob("*.jpg")) if folder.is_dir() else []
    if not found:
        raise Skipped(
            f"no photographs at {folder}; set NONESUCH_REAL_DATA to the folder that holds images/"
        )
    most = int(os.environ.get("NONESUCH_BENCH_IMAGES", "0"))  # a few, for a quick look
    return found[:most] if most else found


def fresh(name: str) -> Path:
    """Give an empty folder in the scratch space."""
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def settle() -> None:
    """Wait until what was written before is on the disk, so that the next timing is its own."""
    os.sync()


def peer_python(requirement: str) -> Path:
    """Give the interpreter of the peers' own environment, with one of them in it.

    It is made once, then kept.

    Parameters
    ----------
    requirement
        As pip takes it: ``name==version``.

    Raises
    ------
    Skipped
        If it cannot be made here.
    """
    home = SCRATCH / "peers"
    python = home / "bin" / "python"
    name, _, version = requirement.partition("==")
    check = f"from importlib.metadata import version as v; assert v({name!r}) == {version!r}"
    if (
        not python.exists()
        or subprocess.run([python, "-c", check], capture_output=True, check=False).returncode
    ):
        say(f"installing {requirement} into {home}")
        for command in (
            [sys.executable, "-m", "venv", str(home)],
            [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", requirement],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                lines = done.stderr.strip().splitlines()
                raise Skipped(f"{requirement} cannot be installed: {lines[-1] if lines else name}")
    return python


# ---- Flows, each in a process of its own. --------------------------------------------------------


def write_config(folder: Path, source: Path, *, rules: str = "") -> Path:
    """Write a configuration for `source` with its catalog below `folder`."""
    file = folder / "nonesuch.toml"
    file.write_text(
        f'[dataset]\nname = "bench"\nroot = "{folder / "catalog"}"\n\n'
        f'[[sources]]\nkind = "folder"\nname = "photographs"\npath = "{source}"\n\n'
        f"[run]\nworkers = {PROCESSES}\n\n[rules]\n{rules}\n",
        encoding="utf-8",
    )
    return file


@contextlib.contextmanager
def prefect_server(settings: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Run a Prefect server of our own; gives the environment for children that use it.

    Parameters
    ----------
    settings
        More of its environment.

    Starting one takes 9 to 20 s, which is neither our flow's time nor an empty flow's.
    """
    home = fresh("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    log = (home / "server.log").open("wb")
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**environment, **(settings or {})},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/health", server, home / "server.log")
        yield {**environment, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"the Prefect server ended with {server.returncode}; see {log}")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass  # not listening yet
        time.sleep(0.2)
    raise RuntimeError(f"the Prefect server did not answer at {url} within 120 s; see {log}")


def start_flow(environment: dict[str, str], flow: str, *arguments: str) -> subprocess.Popen[str]:
    """Start `benchmarks.child` with a flow: `empty`, `rebuild FILE` or `publish FILE`."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.child", flow, *arguments],
        env=environment,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True, slots=True)
class FlowTimes:
    """What a flow took, in seconds.

    Attributes
    ----------
    call
        The flow's call alone.
    processor
        What that cost the process itself of processor time; not its workers, nor the server.
    process
        The whole process with the start of the interpreter and all imports.
    """

    call: float
    processor: float
    process: float
    summary: dict[str, Any]


def run_flow(environment: dict[str, str], flow: str, *arguments: str) -> FlowTimes:
    """Run a flow in a child process to its end.

    Raises
    ------
    RuntimeError
        If it failed.
    """
    began = time.perf_counter()
    child = start_flow(environment, flow, *arguments)
    out, _ = child.communicate()
    return finished(child, out, time.perf_counter() - began)


def finished(child: subprocess.Popen[str], out: str, seconds: float) -> FlowTimes:
    """Read what a child that has ended said."""
    if child.returncode:
        raise RuntimeError(f"{child.args!r} ended with {child.returncode}; its errors are above")
    said = json.loads(out.splitlines()[-1])
    return FlowTimes(said["seconds"], said["processor"], seconds, said["summary"])
