"""Run `benchmarks.near_duplicates` at the sizes of the table, and hold its figures to the reach."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from benchmarks.common import REPOSITORY, Row, say

_LINE: Final = re.compile(
    r"\s*(?P<count>[\d,]+)\s+(?P<radius>\d+)\s+(?P<pairs>[\d,]+)\s+(?P<seconds>[\d.]+)\s+"
    r"(?P<mb>[\d,]+)"
    r"(?:\s+brute force (?P<floor>[\d.]+) s, recall (?P<recall>[\d.]+), wrong (?P<wrong>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Reach:
    """Seconds and MB that a size may take; None where nothing was set."""

    seconds: float | None
    mb: float | None


REACHES: Final = {
    "50000:6": Reach(None, None),
    "1000000:6": Reach(10, 2000),
    "10000000:4": Reach(90, None),
}


def run() -> list[Row]:
    """Measure all sizes, each in a process of its own."""
    say("near_duplicates: exact joins of 50,000, 1M and 10M skewed hashes")
    command = [sys.executable, "-m", "benchmarks.near_duplicates"]
    for size in REACHES:
        command += ["--size", size]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    found = [match for line in done.stdout.splitlines() if (match := _LINE.fullmatch(line))]
    if len(found) != len(REACHES):
        raise RuntimeError(f"{len(REACHES)} lines of figures expected, got: {done.stdout}")
    rows = [_row(match, reach) for match, reach in zip(found, REACHES.values(), strict=True)]
    for row in rows:
        say(f"  {row.what}: {row.figure} {row.peer} {row.ratio}")
    return rows


def _row(match: re.Match[str], reach: Reach) -> Row:
    seconds, mb = float(match["seconds"]), float(match["mb"].replace(",", ""))
    what = f"near-duplicates, {match['count']} hashes of 64 bits, radius {match['radius']}, exact"
    figure = f"{seconds:.1f} s, {mb:,.0f} MB, {match['pairs']} pairs"
    numbers = {"seconds": seconds, "mb": mb, "pairs": int(match["pairs"].replace(",", ""))}
    if match["floor"]:
        recall, wrong, brute = float(match["recall"]), int(match["wrong"]), float(match["floor"])
        return Row(
            what,
            f"{figure}; recall {recall:.4f}, {wrong} wrong",
            f"brute force: {brute:.1f} s",
            f"{brute / max(seconds, 0.01):.0f}×",
            "recall 1.0",
            recall == 1 and wrong == 0,
            numbers | {"recall": recall, "wrong": wrong, "brute_force_s": brute},
        )
    limits = [f"< {reach.seconds:g} s"] if reach.seconds else []
    limits += [f"< {reach.mb:,.0f} MB"] if reach.mb else []
    met = (not reach.seconds or seconds < reach.seconds) and (not reach.mb or mb < reach.mb)
    return Row(what, figure, "", "", ", ".join(limits), met, numbers)
