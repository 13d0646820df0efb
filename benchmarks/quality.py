"""`make bench-quality`: how well defects and copies are found, planted into real photographs.

Every figure has a 95% interval (Wilson). Photographs that nothing was planted into are taken for
sound; some of them do have the defect, so that precision is a lower bound.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pyarrow as pa

from benchmarks import planting, quality_duplicates
from benchmarks.common import SCRATCH, Skipped, fresh, photographs, say
from benchmarks.quality_duplicates import wilson
from benchmarks.standardize import PEER, peer_python
from curation.item import process
from curation.judging import Rules, judge_images
from curation.pool import WorkerPool
from curation.recipe import Limits, Recipe
from data_catalog.schema import FEATURES, Reason

SEED: Final = 0
EACH: Final = 300

# Kind of planting -> the reason that should be given.
EXPECTED: Final[Mapping[str, Reason]] = {
    "blank": Reason.BLANK,
    "grey": Reason.MONOCHROME,
    "small": Reason.TOO_SMALL,
    "corrupt": Reason.CORRUPT,
    "tiny": Reason.TINY_SUBJECT,
    "fabric": Reason.PATTERN,
    "blur": Reason.BLURRED,
    "off_centre": Reason.OFF_CENTRE,
    "cut_off": Reason.CUT_OFF,
}
# What cleanvision calls the same.
PEER_ISSUES: Final[Mapping[str, str]] = {
    "blank": "is_low_information_issue",
    "grey": "is_grayscale_issue",
    "small": "is_odd_size_issue",
    "blur": "is_blurry_issue",
}

_PEER_SCRIPT: Final = """
import json, sys, warnings
warnings.simplefilter("ignore")
from cleanvision import Imagelab
if __name__ == "__main__":
    lab = Imagelab(filepaths=json.load(open(sys.argv[1])), verbose=False)
    lab.find_issues(n_jobs=2, verbose=False)
    columns = [c for c in lab.issues.columns if c.startswith("is_")]
    print(json.dumps({path: [c for c in columns if row[c]] for path, row in lab.issues.iterrows()}))
"""


def main() -> int:
    """Print the table of defects, then the table of copies."""
    try:
        print("## Defects planted into photographs\n")
        defects(photographs())
        print("\n## Copies planted into photographs\n")
        return quality_duplicates.main([])
    except Skipped as skipped:
        say(str(skipped))
        return 0


def defects(paths: Sequence[Path]) -> None:
    """Plant defects into some photographs and judge them among all the others."""
    folder = fresh("quality")
    planted = plant(paths, folder)
    reasons = judge([*paths, *planted])
    theirs = peer([*paths, *(path for path in planted if not path.name.startswith("corrupt"))])
    natural = [reasons[path] for path in paths]
    header = ("planted", "reason", "recall", "95%", "on sound", "precision ≥", "95%", "cleanvision")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for kind, reason in EXPECTED.items():
        those = [path for path in planted if path.name.startswith(kind)]
        hits = sum(reason in reasons[path] for path in those)
        alarms = sum(reason in found for found in natural)
        low, high = wilson(hits, len(those))
        sure_low, sure_high = wilson(hits, hits + alarms)
        print(
            f"| {kind} ({len(those)}) | {reason} | {hits / len(those):.3f} | {low:.3f}–{high:.3f} "
            f"| {alarms} of {len(paths):,} ({alarms / len(paths):.1%}) "
            f"| {hits / max(hits + alarms, 1):.3f} | {sure_low:.3f}–{sure_high:.3f} "
            f"| {_peer_cell(kind, those, paths, theirs)} |"
        )


def _peer_cell(
    kind: str,
    those: Sequence[Path],
    paths: Sequence[Path],
    theirs: Mapping[Path, Sequence[str]] | None,
) -> str:
    if theirs is None:
        return "not run"
    if kind == "corrupt":
        return "left out: it stops at the first one"
    issue = PEER_ISSUES.get(kind)
    if issue is None:
        return "has no such check"
    hits = sum(issue in theirs[path] for path in those)
    alarms = sum(issue in theirs[path] for path in paths)
    return f"recall {hits / len(those):.3f}, on sound {alarms / len(paths):.1%}"


def plant(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Write `EACH` pictures of each kind, of photographs chosen at random."""
    rng = np.random.default_rng(SEED)
    out = []
    for kind in EXPECTED:
        chosen = rng.choice(len(paths), min(EACH, len(paths)), replace=False)
        for number, index in enumerate(sorted(chosen)):
            path = folder / f"{kind}-{number:04d}.jpg"
            path.write_bytes(_planted(kind, paths[index].read_bytes(), rng))
            out.append(path)
    return out


def _planted(kind: str, data: bytes, rng: np.random.Generator) -> bytes:
    if kind == "corrupt":
        return data[: int(len(data) * rng.uniform(0.2, 0.95))]
    rgb = planting.from_jpeg(data)
    if kind == "small":
        scale = rng.uniform(60, 290) / min(rgb.shape[:2])
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        changed = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    else:
        changed = planting.DEFECTS[kind](rgb, rng)
    return planting.to_jpeg(changed, int(rng.integers(85, 96)))


def judge(paths: Sequence[Path]) -> dict[Path, set[str]]:
    """Process files as a rebuild does and give the reasons of each, by the default rules."""
    with WorkerPool(2) as pool:
        rows = list(pool.map(_features, paths, seconds=60, give_up=_lost))
    features = pa.Table.from_pylist(rows, schema=FEATURES)
    found: dict[Path, set[str]] = {path: set() for path in paths}
    for reason, mask in judge_images(features, Rules()).masks.items():
        for index in np.flatnonzero(mask):
            found[paths[index]].add(reason.value)
    for path, failure in zip(paths, features["failure"].to_pylist(), strict=True):
        if failure is not None:
            found[path] = {failure}
    return found


def _features(chunk: Sequence[Path]) -> list[dict[str, object]]:
    return [process(path.stem, path.read_bytes(), Recipe(), Limits())[0].row for path in chunk]


def _lost(path: Path, reason: Reason, detail: str) -> dict[str, object]:
    raise RuntimeError(f"{path}: {reason}: {detail}")


def peer(paths: Sequence[Path]) -> dict[Path, list[str]] | None:
    """Give what cleanvision finds, by its default checks; None where it cannot be installed."""
    try:
        python = peer_python()
    except Skipped as skipped:
        say(str(skipped))
        return None
    say(f"{PEER} on {len(paths):,} files, a few minutes")
    script, listing = SCRATCH / "peer_quality.py", SCRATCH / "peer_quality.json"
    script.write_text(_PEER_SCRIPT)
    listing.write_text(json.dumps([str(path) for path in paths]))
    done = subprocess.run(
        [str(python), str(script), str(listing)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        say(f"{PEER} failed: {done.stderr.strip().splitlines()[-1:]}")
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return {Path(path): issues for path, issues in found.items()}


if __name__ == "__main__":
    raise SystemExit(main())
