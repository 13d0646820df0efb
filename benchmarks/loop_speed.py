"""How soon a training starts after a version is published, and what Prefect costs a rebuild.

The first: a real server and a real runner; a version is published, and the time is taken from its
event to the first word of the trainer. The second: a rebuild of 50,000 tiny pictures as a flow, and
the same stages called plainly, each in a process of its own and on a fresh catalog; what the flow
took outside its stages is told as well. Of pictures of the usual size it is a smaller share.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from benchmarks.common import (
    PROCESSES,
    REPOSITORY,
    Row,
    fresh,
    median,
    prefect_server,
    run_flow,
    say,
    settle,
)
from flows.events import PUBLISHED
from flows.server import SETTINGS

ITEMS: Final = 50_000
REACH_START: Final = 20.0  # s
REACH_OVERHEAD: Final = 0.10
REPEATS: Final = 2

_SIZE: Final = (32, 24)  # height, width of the pictures, px
_A_FOLDER: Final = 500
_FIRST: Final = 48  # pictures of the set that is trained on, and as many more each time
_PATIENCE: Final = 180.0  # s
_OFF: Final = ("too_small", "too_few_bytes", "pattern", "busy_background")


def run() -> list[Row]:
    """Measure both."""
    with prefect_server(SETTINGS) as environment:
        run_flow(environment, "empty")  # the server's own first time
        return [event_to_training(environment), overhead(environment)]


# ---- From the event to the training. -------------------------------------------------------------


def event_to_training(environment: Mapping[str, str]) -> Row:
    """Publish, and wait for the trainer, a few times."""
    say(f"loop: {REPEATS} versions, each trained on by itself")
    folder = fresh("loop")
    config = _write_config(folder, train=True)
    took: list[float] = []
    parts: list[dict[str, float]] = []
    with _runner(environment, config, folder):
        for number in range(REPEATS):
            _draw(folder / "images", _FIRST, first=number * _FIRST)
            run_flow(dict(environment), "rebuild", str(config))
            version = run_flow(dict(environment), "publish", str(config)).summary["version"]
            began = _begin_of(folder / "catalog" / "models" / f"v{version}-tiny")
            told = _occurred(environment["PREFECT_API_URL"], version)
            took.append(began - told)
            parts.append(_parts(environment["PREFECT_API_URL"], version, told))
            say(f"  version {version}: {took[-1]:.1f} s; {parts[-1]}")
            _wait_until_quiet(environment["PREFECT_API_URL"])
    shutil.rmtree(folder)
    middle = median(took)
    return Row(
        "event to training started, CPU",
        f"{middle:.1f} s",
        "; ".join(f"{name} {median(p[name] for p in parts):.1f} s" for name in parts[0]),
        f"{min(took):.1f}–{max(took):.1f} s",
        f"< {REACH_START:g} s",
        middle < REACH_START,
        {"seconds": took, "parts": parts},
    )


def _begin_of(run: Path) -> float:
    """Wait for the first word of a trainer; gives when it came."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if (run / "run.json").stat().st_size:
                return time.time()
        time.sleep(0.02)
    raise RuntimeError(f"{run} was not begun within {_PATIENCE:g} s")


def _occurred(api: str, version: int) -> float:
    """Give when the event of a version happened."""
    wanted = {"filter": {"event": {"name": [PUBLISHED]}}, "limit": 50}
    for event in _ask(f"{api}/events/filter", wanted)["events"]:
        if event["payload"]["version"] == version:
            return datetime.fromisoformat(event["occurred"]).timestamp()
    raise RuntimeError(f"the server knows no event of version {version}")


def _parts(api: str, version: int, told: float) -> dict[str, float]:
    """Give where the time went: until a run was there, and until its process was at work."""
    for run in _ask(f"{api}/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC"}):
        if (run["parameters"].get("published") or {}).get("version") == version:
            made, began = (datetime.fromisoformat(run[k]) for k in ("created", "start_time"))
            return {
                "event to run": made.timestamp() - told,
                "run to process": began.timestamp() - made.timestamp(),
            }
    raise RuntimeError(f"the server knows no run for version {version}")


def _wait_until_quiet(api: str) -> None:
    """Wait until nothing runs: the next version has the machine for itself."""
    busy = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}}
    quiet = 0
    until = time.monotonic() + _PATIENCE
    while quiet < 6:  # a ranking follows a training after a moment
        if time.monotonic() > until:
            raise RuntimeError(f"flows ran for more than {_PATIENCE:g} s")
        quiet = 0 if _ask(f"{api}/flow_runs/filter", busy) else quiet + 1
        time.sleep(1.0)


def _ask(url: str, body: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@contextlib.contextmanager
def _runner(environment: Mapping[str, str], config: Path, folder: Path) -> Iterator[None]:
    log = folder / "runner.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.serving.runner", str(config)],
            env={**environment, "PREFECT_LOGGING_LEVEL": "INFO"},
            cwd=REPOSITORY,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            until = time.monotonic() + _PATIENCE
            while b"serving" not in log.read_bytes():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the runner does not serve; see {log}")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait()


# ---- What Prefect costs. -------------------------------------------------------------------------


def overhead(environment: Mapping[str, str], items: int = ITEMS) -> Row:
    """Hold a rebuild as a flow against the same stages called plainly."""
    say(f"loop: {items:,} tiny pictures, rebuilt as a flow and plainly")
    folder = fresh("overhead")
    _draw(folder / "images", items)
    config = _write_config(folder, train=False)
    seconds: dict[str, float] = {}
    outside = 0.0
    for kind in ("accounted", "plain"):
        shutil.rmtree(folder / "catalog", ignore_errors=True)
        settle()
        times = run_flow(dict(environment), kind, str(config))
        if times.summary["items"] != items:
            raise RuntimeError(f"{kind}: {times.summary}")
        seconds[kind] = times.call
        outside += times.call - times.summary.get("in_stages", times.call)
        say(f"  {kind}: {times.call:.1f} s")
    shutil.rmtree(folder)
    share = seconds["accounted"] / seconds["plain"] - 1
    return Row(
        f"rebuild as a flow, {items:,} tiny pictures",
        f"{seconds['accounted']:.1f} s, {outside:.1f} s of it outside the stages",
        f"the same stages called plainly: {seconds['plain']:.1f} s",
        f"{share:+.1%}; outside the stages {outside / seconds['accounted']:.1%}",
        f"< {REACH_OVERHEAD:.0%}",
        share < REACH_OVERHEAD,
        {"seconds": seconds, "outside": outside},
    )


def _draw(folder: Path, count: int, first: int = 0) -> None:
    """Write small pictures, no two of them alike."""
    for number in range(first, first + count):
        path = folder / f"{number // _A_FOLDER:04}" / f"{number:07}.jpg"
        if number % _A_FOLDER == 0 or number == first:
            path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, _SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())


def _write_config(folder: Path, *, train: bool) -> Path:
    file = folder / "nonesuch.toml"
    off = "\n".join(f'{name} = {{ action = "off" }}' for name in _OFF)
    training = (
        '[train]\npreset = "tiny"\n[train.network]\nz_dim = 8\nw_dim = 8\nchannel_base = 64\n'
        "channel_max = 8\n[train.run]\ntotal_kimg = 0.064\ntick_kimg = 0.032\ngrid = 4\n"
        'device = "cpu"\n[loop]\nmin_decisions = 0\n[rank]\nshuffles = 2\ndevice = "cpu"\n'
    )
    file.write_text(
        f'[dataset]\nname = "bench"\nroot = "{folder / "catalog"}"\n'
        f'[[sources]]\nkind = "folder"\npath = "{folder / "images"}"\n'
        f"[recipe]\nheight = {_SIZE[0]}\nwidth = {_SIZE[1]}\n"
        f"[run]\nworkers = {PROCESSES}\n[rules]\n{off}\n{training if train else ''}",
        encoding="utf-8",
    )
    return file
