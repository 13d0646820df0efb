"""A real web archive for the tests: pywb, serving what was recorded from a site on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).parents[4]
_COLLECTION = "shop"
_STARTS_WITHIN = 60.0


@dataclass(frozen=True)
class Visit:
    """One visit of the archive's crawler.

    Attributes
    ----------
    fetch : str
        Address on loopback that answers.
    url : str
        What the archive takes it for.
    date : str
        When it says that it came, e.g. 2012-01-02T00:00:00Z.
    again : bool
        The bytes were stored at an earlier visit; only a revisit record is written.
    """

    fetch: str
    url: str
    date: str
    again: bool = False


@dataclass(frozen=True)
class Archive:
    """A running pywb."""

    url: str

    @property
    def cdx_url(self) -> str:
        return f"{self.url}/{_COLLECTION}/cdx"

    @property
    def replay_url(self) -> str:
        return f"{self.url}/{_COLLECTION}"


def pywb_programs() -> Path:
    """Give the folder of pywb's programs; skips, or fails in CI, where there is none."""
    named = os.environ.get("NONESUCH_PYWB")
    folder = Path(named) if named else _REPOSITORY / ".venv-pywb" / "bin"
    if (folder / "wayback").is_file():
        return folder
    missing = (
        f"no pywb in {folder}: python -m venv .venv-pywb && .venv-pywb/bin/pip install "
        "-c constraints-pywb.txt pywb, or set NONESUCH_PYWB to the folder of its programs"
    )
    if os.environ.get("NONESUCH_REQUIRE_ALL"):  # as CI has it: nothing may be left out
        pytest.fail(missing)
    pytest.skip(missing)


def record(warc: Path, visits: Sequence[Visit]) -> None:
    """Make the visits, in their order, and write the WARC."""
    job = {"warc": str(warc), "visits": [vars(visit) for visit in visits]}
    _run([pywb_programs() / "python", Path(__file__).with_name("record_warc.py")], json.dumps(job))


@contextlib.contextmanager
def serving(warc: Path, folder: Path) -> Iterator[Archive]:
    """Serve a WARC with pywb, whose files go into `folder`."""
    programs = pywb_programs()
    folder.mkdir(parents=True, exist_ok=True)
    _run([programs / "wb-manager", "init", _COLLECTION], cwd=folder)
    _run([programs / "wb-manager", "add", _COLLECTION, warc], cwd=folder)
    log = folder / "pywb.log"
    with log.open("wb") as output:
        port = _free_port()
        process = subprocess.Popen(
            [programs / "wayback", "-b", "127.0.0.1", "-p", str(port), "-d", folder],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
        )
        try:
            archive = Archive(f"http://127.0.0.1:{port}")
            _wait_for(archive, process, log)
            yield archive
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _run(command: Sequence[str | Path], text: str = "", cwd: Path | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(archive: Archive, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < ends:
        if process.poll() is not None:
            break
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{archive.cdx_url}?url=ready.example", timeout=10),
        ):
            return
        time.sleep(0.1)
    pytest.fail(f"pywb did not start:\n{log.read_text(errors='replace')}")
