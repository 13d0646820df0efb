"""How fast training is fed: the stream of batches, beside bare decoding of the same bytes.

The stream looks samples up, reads them from shards, decodes in processes beside training, puts
pixels into planes and hands whole batches over through shared memory. The other side is one process
that has Pillow decode the same JPEG bytes from memory, and keeps nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from benchmarks.common import Row, Skipped, fresh, median, photographs, say
from data_catalog.shards import Sample, ShardWriter
from data_catalog.storage import Root

REACH: Final = {1: 0.5, 2: 0.9}
"""Of the rate of bare decoding in one process, by workers; made for two processors."""
REPEATS: Final = 5

_SIZE: Final = (384, 512)  # width, height
_PICTURES: Final = 1_000
_BATCH: Final = 32
_STEPS: Final = 32


def prepare(folder: Path) -> list[bytes]:
    """Write photographs as a version's folder; gives the encoded pictures."""
    pictures = [_standardized(path) for path in photographs()[:_PICTURES]]
    shards = folder / "shards"
    shards.mkdir()
    with ShardWriter(Root(shards), samples_per_shard=250) as writer:
        for number, data in enumerate(pictures):
            writer.add(Sample(f"{number:064x}", "jpg", data, b'{"label":null,"tags":[]}'))
    manifest = {
        "version": 1,
        "hash": hashlib.sha256(b"".join(pictures)).hexdigest(),
        "items": len(pictures),
        "labels": {},
        "inverted": True,
        "width": _SIZE[0],
        "height": _SIZE[1],
        "shards": [asdict(shard) for shard in writer.shards],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return pictures


def _standardized(path: Path) -> bytes:
    sink = io.BytesIO()
    with Image.open(path) as image:
        fitted = ImageOps.fit(image.convert("RGB"), _SIZE)
        fitted.save(sink, "JPEG", quality=95, subsampling="4:4:4")
    return sink.getvalue()


def bare(pictures: list[bytes]) -> float:
    """Decode pictures one after the other; images/s."""
    count = _STEPS * _BATCH
    began = time.perf_counter()
    for number in range(count):
        with Image.open(io.BytesIO(pictures[number % len(pictures)])) as image:
            image.load()
    return count / (time.perf_counter() - began)


def streamed(folder: Path, workers: int, repeat: int) -> float:
    """Take batches from the stream when it is under way; images/s."""
    from training.config import DataConfig
    from training.data.check import check
    from training.data.select import select
    from training.data.stream import Stream
    from training.shards import PublishedVersion

    version = PublishedVersion(folder)
    selection = select(check(version, cache=folder), DataConfig())
    with Stream(version, selection, batch=_BATCH, seed=repeat, workers=workers) as stream:
        for _ in range(4 * workers):  # what is decoded ahead must not count
            next(stream)
        began = time.perf_counter()
        for _ in range(_STEPS):
            next(stream)
        return _STEPS * _BATCH / (time.perf_counter() - began)


def run() -> list[Row]:
    """Decode barely and by the stream in turn."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise Skipped("torch is not installed; pip install 'nonesuch[train]'") from None
    folder = fresh("training_data")
    pictures = prepare(folder)
    mean = sum(map(len, pictures)) / len(pictures)
    say(f"training_data: {len(pictures)} photographs, {mean / 1e3:.0f} kB on average")
    floor: list[float] = []
    ours: dict[int, list[float]] = {workers: [] for workers in REACH}
    for repeat in range(REPEATS):
        floor.append(bare(pictures))
        for workers, rates in ours.items():
            rates.append(streamed(folder, workers, repeat))
        found = ", ".join(f"{rates[-1]:.0f} with {workers}" for workers, rates in ours.items())
        say(f"  bare {floor[-1]:.0f} images/s; stream {found} workers")
    shutil.rmtree(folder)
    return [_row(workers, rates, floor, mean) for workers, rates in ours.items()]


def _row(workers: int, rates: list[float], floor: list[float], mean: float) -> Row:
    rate, peer = median(rates), median(floor)
    return Row(
        f"feed training, 384×512 JPEG, {workers} worker{'s' if workers > 1 else ''}",
        f"{rate:,.0f} images/s",
        f"bare Pillow decode, one process: {peer:,.0f} images/s",
        f"{rate / peer:.2f}",
        f"≥ {REACH[workers]:.2f} of it",
        rate >= REACH[workers] * peer,
        {"images_s": rates, "bare_images_s": floor, "mean_bytes": mean},
    )
