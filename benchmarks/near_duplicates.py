"""Time the exact near-duplicate join on skewed 64-bit hashes, and check it against brute force."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.fingerprints import fingerprint
from curation.hamming import near_pairs

Hashes = NDArray[np.uint64]


def main(arguments: list[str] | None = None) -> int:
    """Print seconds and peak memory for each size, beside brute force where that is bearable."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size",
        action="append",
        metavar="N:RADIUS",
        help="may be repeated; default 50000:6 1000000:6; add 10000000:4 for the largest",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brute-force-up-to", type=int, default=50_000)
    options = parser.parse_args(arguments)
    real = _real_hashes()
    print(f"skew from {len(real):,} hashes of {'photographs' if len(real) > 400 else 'noise'}")
    print(f"{'hashes':>12s} {'radius':>6s} {'pairs':>12s} {'seconds':>8s} {'peak MB':>8s}")
    for size in options.size or ["50000:6", "1000000:6"]:
        count, radius = (int(part) for part in size.split(":"))
        job = (real, count, radius, options.seed, options.brute_force_up_to)
        # A process of its own, so that its peak memory is its own.
        with get_context("spawn").Pool(1) as pool:
            print(pool.apply(_measure, job), flush=True)
    return 0


def skewed_hashes(real: Hashes, count: int, rng: np.random.Generator) -> Hashes:
    """Draw hashes that share the bits of real ones, a tenth of them in clusters.

    Nine tenths are real hashes with 14 bits turned; the others are copies of some of these, in
    clusters of Zipf-distributed size up to 200, with up to three bits turned.
    """
    copies = count // 10
    alone = _turned(real[rng.integers(0, len(real), count - copies)], 14, rng)
    size = np.minimum(rng.zipf(2.2, copies), 200)
    source = np.repeat(rng.integers(0, len(alone), copies), size)[:copies]
    hashes: Hashes = rng.permutation(np.concatenate([alone, _turned(alone[source], 3, rng)]))
    return hashes


def brute_force(hashes: Hashes, radius: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Compare every hash with every later one by popcount: the floor and the truth."""
    firsts, seconds = [], []
    for first in range(len(hashes) - 1):
        near = np.bitwise_count(hashes[first + 1 :] ^ hashes[first]) <= radius
        later = np.flatnonzero(near) + first + 1
        firsts.append(np.full(len(later), first, np.int64))
        seconds.append(later)
    return np.concatenate(firsts), np.concatenate(seconds)


def _measure(real: Hashes, count: int, radius: int, seed: int, bearable: int) -> str:
    hashes = skewed_hashes(real, count, np.random.default_rng(seed))
    began = time.perf_counter()
    i, j, _ = near_pairs(hashes, radius)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = f"{count:12,d} {radius:6d} {len(i):12,d} {seconds:8.2f} {peak:8,.0f}"
    if count > bearable:
        return line
    began = time.perf_counter()
    truth_i, truth_j = brute_force(hashes, radius)
    floor = time.perf_counter() - began
    found = set(zip(i.tolist(), j.tolist(), strict=True))
    truth = set(zip(truth_i.tolist(), truth_j.tolist(), strict=True))
    recall = len(found & truth) / max(1, len(truth))
    return f"{line}   brute force {floor:.2f} s, recall {recall:.4f}, wrong {len(found - truth)}"


def _turned(hashes: Hashes, times: int, rng: np.random.Generator) -> Hashes:
    turned = hashes.copy()
    for _ in range(times):
        turned ^= np.uint64(1) << rng.integers(0, 64, len(hashes)).astype(np.uint64)
    return turned


def _real_hashes() -> Hashes:
    """Hash the photographs, or of smooth noise where there are none."""
    folder = Path(os.environ.get("NONESUCH_REAL_DATA", "../shared/data/clothing")) / "images"
    paths = sorted(folder.glob("*.jpg"))[::2]
    pictures = (cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4) for path in paths)
    found = [_phash(picture) for picture in pictures if picture is not None]
    if not found:
        rng = np.random.default_rng(0)
        noise = (rng.integers(0, 256, (6, 6, 3)).astype(np.uint8) for _ in range(400))
        found = [_phash(cv2.resize(n, (96, 96), interpolation=cv2.INTER_CUBIC)) for n in noise]
    return np.array(found, np.uint64)


def _phash(bgr: object) -> int:
    picture = np.asarray(bgr, np.uint8)
    small = cv2.resize(picture[..., ::-1].copy(), (144, 192), interpolation=cv2.INTER_AREA)
    return fingerprint(np.asarray(small, np.uint8)).phash


if __name__ == "__main__":
    sys.exit(main())
