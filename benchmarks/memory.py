"""Peak memory of every process of a rebuild, at one size and at ten times that size.

The ten times are copies of each photograph that differ in a JPEG comment: other bytes, the same
pixels. All of the work is done for each of them but the comparison of pairs, which equal pixels do
not need.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from benchmarks.common import (
    FlowTimes,
    Row,
    finished,
    fresh,
    photographs,
    prefect_server,
    say,
    start_flow,
    write_config,
)

REACH_MB: Final = 1000.0
FLAT: Final = 1.5  # what ten times as many images may cost: rows are held, pictures are not
TIMES: Final = 10
_EVERY: Final = 0.05  # seconds between looks


@dataclass
class Peaks:
    """The most that each process held, in bytes, by process id; the parent's is told apart."""

    parent: int = 0
    children: dict[int, int] = field(default_factory=dict)

    @property
    def worker(self) -> int:
        """The largest of the parent's children."""
        return max(self.children.values(), default=0)


def high_water(process: psutil.Process) -> int:
    """Give the most that a process held so far by the kernel's mark, else what it holds now."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return int(process.memory_info().rss)


def watch(child: subprocess.Popen[str]) -> tuple[str, Peaks]:
    """Look at a process and all below it until it ends; gives its output and the peaks."""
    peaks = Peaks()
    parent = psutil.Process(child.pid)
    while child.poll() is None:
        try:
            peaks.parent = max(peaks.parent, high_water(parent))
            for process in parent.children(recursive=True):
                seen = peaks.children.get(process.pid, 0)
                peaks.children[process.pid] = max(seen, high_water(process))
        except psutil.Error:
            pass  # it ended between two looks
        time.sleep(_EVERY)
    assert child.stdout is not None
    return child.stdout.read(), peaks


def vary(paths: Sequence[Path], folder: Path, times: int) -> None:
    """Write `times` files for each: the same picture, with another comment in it."""
    for copy in range(times):
        below = folder / str(copy)
        below.mkdir(parents=True)
        text = f"copy {copy}".encode()
        comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
        for path in paths:
            data = path.read_bytes()
            (below / path.name).write_bytes(data[:2] + comment + data[2:])


def rebuilt(
    environment: dict[str, str], paths: Sequence[Path], times: int
) -> tuple[FlowTimes, Peaks]:
    """Rebuild from `times` copies of the photographs, watched."""
    folder = fresh(f"memory-{times}")
    vary(paths, folder / "images", times)
    config = write_config(folder, folder / "images")
    say(f"memory: rebuild of {times * len(paths):,} images")
    began = time.perf_counter()
    child = start_flow(environment, "rebuild", str(config))
    out, peaks = watch(child)
    done = finished(child, out, time.perf_counter() - began)
    shutil.rmtree(folder)
    return done, peaks


def run() -> list[Row]:
    """Rebuild at both sizes."""
    paths = photographs()
    with prefect_server() as environment:
        small = rebuilt(environment, paths, 1)
        large = rebuilt(environment, paths, TIMES)
    rows = []
    for which in ("parent", "worker"):
        before, after = (getattr(peaks, which) / 1e6 for _, peaks in (small, large))
        rows.append(
            Row(
                f"peak memory of a rebuild, {which}",
                f"{after:,.0f} MB at {large[0].summary['items']:,} images",
                f"{before:,.0f} MB at {small[0].summary['items']:,}",
                f"{after / before:.2f}",
                f"flat (≤ {FLAT}×), < {REACH_MB:,.0f} MB",
                after < REACH_MB and after / before <= FLAT,
                {
                    "mb": [before, after],
                    "seconds": [small[0].call, large[0].call],
                    "summaries": [small[0].summary, large[0].summary],
                },
            )
        )
        say(f"  {rows[-1].what}: {rows[-1].figure}; {rows[-1].peer}")
    return rows
