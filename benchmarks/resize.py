"""Hold OpenCV's ways of making a photograph smaller against Pillow's Lanczos, a windowed sinc.

Prints what `docs/decisions/0003-resize-by-scale.md` quotes: PSNR in dB, mean over photographs, and
how much more time the area average takes than bicubic, on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCALES = (0.96, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
METHODS = {"area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}
PHOTOGRAPHS = 40
REPEATS = 5


def main(arguments: list[str] | None = None) -> int:
    """Print the table; skip with a message where there are no photographs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spread", action="store_true", help="not the first 40, but every n-th")
    spread = parser.parse_args(arguments).spread
    folder = Path(os.environ.get("NONESUCH_REAL_DATA", "../shared/data/clothing")) / "images"
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        print(f"skipped: no photographs at {folder}; set NONESUCH_REAL_DATA")
        return 0
    cv2.setNumThreads(1)
    step = max(1, len(paths) // PHOTOGRAPHS) if spread else 1
    chosen = paths[::step][:PHOTOGRAPHS]
    photographs = [Image.open(path).convert("RGB") for path in chosen]
    print(f"{len(photographs)} photographs, against Pillow's Lanczos\n")
    print(
        "| scale | " + " | ".join(f"{name}, dB" for name in METHODS) + " | area over cubic, time |"
    )
    print("|-:" * (len(METHODS) + 2) + "|")
    for scale in SCALES:
        decibels, seconds = _measure(photographs, scale)
        quality = " | ".join(f"{decibels[name]:.1f}" for name in METHODS)
        print(f"| {scale:g} | {quality} | {seconds['area'] / seconds['cubic']:.1f} × |")
    return 0


def _measure(
    photographs: list[Image.Image], scale: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean PSNR and the sum of the fastest of a few runs, s, for each method."""
    decibels, seconds = dict.fromkeys(METHODS, 0.0), dict.fromkeys(METHODS, 0.0)
    for photograph in photographs:
        size = round(photograph.width * scale), round(photograph.height * scale)
        wanted = np.asarray(photograph.resize(size, Image.Resampling.LANCZOS))
        pixels = np.asarray(photograph)
        for name, method in METHODS.items():
            times = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                found = cv2.resize(pixels, size, interpolation=method)
                times.append(time.perf_counter() - began)
            decibels[name] += _psnr(wanted, np.asarray(found, np.uint8)) / len(photographs)
            seconds[name] += min(times)
    return decibels, seconds


def _psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


if __name__ == "__main__":
    sys.exit(main())
