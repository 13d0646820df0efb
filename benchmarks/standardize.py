"""Everything that is done for an image, beside the least that anybody could do, and a peer.

The floor is decode, area resize, pad and JPEG encode by OpenCV, nothing else: no measure, no
fingerprint, no thumbnail, no check. Both run in the same two processes, chunk by chunk in turn, so
that whatever else the machine does hits both alike. The bytes are in memory for both.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from benchmarks.common import (
    PROCESSES,
    SCRATCH,
    Row,
    Skipped,
    median,
    peer_python,
    photographs,
    say,
)
from curation.item import process
from curation.pool import WorkerPool, prepare_worker
from curation.recipe import Limits, Recipe
from data_catalog.schema import Reason

REPEATS: Final = 4
REACH_FLOOR: Final = 0.65
REACH_PEER: Final = 8.0
PEER: Final = "cleanvision==0.3.7"

_CHUNK: Final = 24
_BLOCKS: Final = 4  # in which we and the peer take turns
_RECIPE: Final = Recipe()
_LIMITS: Final = Limits()
_ENCODING: Final = (
    cv2.IMWRITE_JPEG_QUALITY,
    _RECIPE.quality,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def ours(data: bytes) -> None:
    """Do all that a rebuild does for one image."""
    item = process("0" * 64, data, _RECIPE, _LIMITS)[0]
    assert item.image is not None


def floor(data: bytes) -> None:
    """Decode, resize by area, pad and encode one image; nothing else."""
    _standardize_only(data, cv2.INTER_AREA)


def fast_floor(data: bytes) -> None:
    """Do the same with the faster bicubic resize that we use ourselves."""
    _standardize_only(data, cv2.INTER_CUBIC)


def _standardize_only(data: bytes, method: int) -> None:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    height, width = image.shape[:2]
    scale = min(_RECIPE.width / width, _RECIPE.height / height, _RECIPE.max_upscale)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(image, size, interpolation=method)
    across, down = _RECIPE.width - size[0], _RECIPE.height - size[1]
    if across or down:
        image = cv2.copyMakeBorder(
            image,
            down // 2,
            down - down // 2,
            across // 2,
            across - across // 2,
            cv2.BORDER_CONSTANT,
            value=(255, 255, 255),
        )
    done, out = cv2.imencode(".jpg", image, _ENCODING)
    assert done and len(out)


_CONTESTANTS: Final[dict[str, Callable[[bytes], None]]] = {
    "ours": ours,
    "floor": floor,
    "fast_floor": fast_floor,
}


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one process in one repeat, by contestant: wall and processor."""

    images: int
    wall: dict[str, float]
    processor: dict[str, float]


def _measure(paths: Sequence[str], repeats: int, gate: Barrier, results: Any) -> None:
    """Run all contestants over the files, in turn chunk by chunk; runs in a process of its own."""
    prepare_worker()
    files = [Path(path).read_bytes() for path in paths]
    names = list(_CONTESTANTS)
    for data in files[:_CHUNK]:
        for work in _CONTESTANTS.values():
            work(data)
    spent = []
    for repeat in range(repeats):
        gate.wait()
        wall, processor = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
        for number, start in enumerate(range(0, len(files), _CHUNK)):
            chunk = files[start : start + _CHUNK]
            # Another one begins each time: the first finds the bytes less warm than the rest.
            shift = (number + repeat) % len(names)
            for name in names[shift:] + names[:shift]:
                work = _CONTESTANTS[name]
                began, busy = time.perf_counter(), time.process_time()
                for data in chunk:
                    work(data)
                wall[name] += time.perf_counter() - began
                processor[name] += time.process_time() - busy
        spent.append(Spent(len(files), wall, processor))
    results.put(spent)


def measure(paths: Sequence[Path], repeats: int = REPEATS) -> list[list[Spent]]:
    """Measure in two processes at once, each with its share of the files; one list a process."""
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(PROCESSES), context.Queue()
    workers = [
        context.Process(
            target=_measure,
            args=([str(p) for p in paths[k::PROCESSES]], repeats, gate, results),
        )
        for k in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    spent = [results.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    return spent


def _rate(spent: Sequence[Spent], name: str) -> float:
    """Images a second of all processes together."""
    return sum(one.images / one.wall[name] for one in spent)


# ---- The peer. -----------------------------------------------------------------------------------

_PEER_SCRIPT: Final = """
import json, multiprocessing, resource, sys, time, warnings
warnings.simplefilter("ignore")
from cleanvision import Imagelab

def spent():
    multiprocessing.active_children()  # collects those that have ended
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(r.ru_utime + r.ru_stime for r in map(resource.getrusage, who))

if __name__ == "__main__":
    paths = json.load(open(sys.argv[1]))
    began, busy = time.perf_counter(), spent()
    lab = Imagelab(filepaths=paths, verbose=False)
    lab.find_issues(n_jobs=int(sys.argv[2]), verbose=False)
    found = {"seconds": time.perf_counter() - began, "checks": len(lab.issue_summary)}
    time.sleep(0.5)
    print(json.dumps({"processor": spent() - busy, **found}))
"""


def run_peer(paths: Sequence[Path]) -> dict[str, float]:
    """Let cleanvision look for all its default issues; seconds, seconds of processor, checks."""
    python = peer_python(PEER)
    script, listing = SCRATCH / "peer.py", SCRATCH / "peer.json"
    script.write_text(_PEER_SCRIPT)
    listing.write_text(json.dumps([str(p) for p in paths]))
    done = subprocess.run(
        [str(python), str(script), str(listing), str(PROCESSES)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Skipped(f"{PEER} failed: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _read_and_process(chunk: Sequence[Path]) -> list[float]:
    """Give the processor time that each file took."""
    spent = []
    for path in chunk:
        began = time.process_time()
        process(path.stem, path.read_bytes(), _RECIPE, _LIMITS)
        spent.append(time.process_time() - began)
    return spent


def _lost(path: Path, reason: Reason, detail: str) -> float:
    raise RuntimeError(f"{path}: {reason}: {detail}")


def run_ours(pool: WorkerPool, paths: Sequence[Path]) -> tuple[float, float]:
    """Read and process the files as a rebuild does, in its pool; seconds, and of processor."""
    began = time.perf_counter()
    spent = sum(pool.map(_read_and_process, paths, seconds=60, give_up=_lost))
    return time.perf_counter() - began, spent


# ---- Both together. ------------------------------------------------------------------------------


def run() -> list[Row]:
    """Measure against the floor, then against the peer."""
    paths = photographs()
    return [*against_floor(paths), *against_peer(paths)]


def against_floor(paths: Sequence[Path]) -> list[Row]:
    """Hold `curation.item.process` against the floor."""
    say(f"standardize: {len(paths)} photographs, {REPEATS} times, beside the floor")
    by_process = measure(paths)
    repeats = list(zip(*by_process, strict=True))
    rates = {name: [_rate(spent, name) for spent in repeats] for name in _CONTESTANTS}
    processor = {
        name: sum(one.processor[name] for spent in repeats for one in spent)
        / sum(one.images for spent in repeats for one in spent)
        for name in _CONTESTANTS
    }
    rows = []
    for name, what, reach in (
        ("floor", "decode + area resize + encode", REACH_FLOOR),
        ("fast_floor", "the same with a bicubic resize", None),
    ):
        ratios = [a / b for a, b in zip(rates["ours"], rates[name], strict=True)]
        ratio = median(ratios)
        busy = processor[name] / processor["ours"]
        rows.append(
            Row(
                f"standardize, {len(paths):,} photographs, 384×512 JPEG, 2 processes",
                f"{median(rates['ours']):,.0f} images/s",
                f"{what}: {median(rates[name]):,.0f} images/s",
                f"{ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f}; processor time {busy:.2f})",
                "" if reach is None else f"≥ {reach}",
                None if reach is None else ratio >= reach,
                {
                    "rates": {"ours": rates["ours"], name: rates[name]},
                    "ratios": ratios,
                    "processor_ms": {"ours": 1e3 * processor["ours"], name: 1e3 * processor[name]},
                    "processor_ratio": busy,
                },
            )
        )
        say(f"  {rows[-1].figure}; {rows[-1].peer}; {rows[-1].ratio}")
    return rows


def against_peer(paths: Sequence[Path]) -> list[Row]:
    """Hold reading and processing the files against cleanvision's checks of the same files."""
    what = f"read + standardize, {len(paths):,} photographs, pool of 2"
    theirs = {"seconds": 0.0, "processor": 0.0, "checks": 0.0}
    wall = busy = 0.0
    try:
        peer_python(PEER)
        say(f"standardize: {PEER} on the same files, in turn with ours; a minute or two")
        with WorkerPool(PROCESSES) as pool:
            run_ours(pool, paths[: 4 * _CHUNK])  # the processes start
            for number in range(_BLOCKS):
                block = paths[number::_BLOCKS]
                before = run_ours(pool, block)
                found = run_peer(block)
                after = run_ours(pool, block)
                wall += (before[0] + after[0]) / 2
                busy += (before[1] + after[1]) / 2
                theirs = {"checks": found["checks"]} | {
                    name: theirs[name] + found[name] for name in ("seconds", "processor")
                }
    except Skipped as skipped:
        say(f"  {skipped}")
        return [Row(what, "not measured", str(skipped), "", f"≥ {REACH_PEER:g}×", None)]
    name, checks = PEER.replace("==", " "), theirs["checks"]
    ratio = theirs["seconds"] / wall
    row = Row(
        what,
        f"{len(paths) / wall:,.0f} images/s",
        f"{name}, {checks:.0f} checks, n_jobs=2: {len(paths) / theirs['seconds']:,.1f} images/s",
        f"{ratio:.1f}× (processor time {theirs['processor'] / busy:.1f}×)",
        f"≥ {REACH_PEER:g}×",
        ratio >= REACH_PEER,
        {"ours_s": wall, "ours_processor_s": busy, "peer": theirs},
    )
    say(f"  {row.figure}; {row.peer}; {row.ratio}")
    return [row]
