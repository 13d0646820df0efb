"""Published versions made by hand, for tests that need damaged or hostile ones."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.index import IndexPart, SampleIndex, join_parts

Pixels = NDArray[np.uint8]
Files = Sequence[tuple[str, bytes]]

SHAPE = (16, 12)


def pixels_of(number: int, shape: tuple[int, int] = SHAPE) -> Pixels:
    """Noise of its own for every number."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (*shape, 3), dtype=np.uint8)


def encoded(pixels: Pixels | Image.Image, image_format: str = "PNG") -> bytes:
    sink = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(sink, image_format)
    return sink.getvalue()


def key_of(number: int) -> str:
    return f"key-{number:03}"


def sample(
    number: int, *, label: str | None = None, tags: Sequence[str] = (), image: bytes | None = None
) -> Files:
    """The two files of one sample."""
    meta = {"item_id": key_of(number), "label": label, "tags": list(tags)}
    data = encoded(pixels_of(number)) if image is None else image
    return [(f"{key_of(number)}.png", data), (f"{key_of(number)}.json", json.dumps(meta).encode())]


def tar_of(files: Iterable[tuple[str, bytes] | tarfile.TarInfo]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for file in files:
            if isinstance(file, tarfile.TarInfo):
                tar.addfile(file)
                continue
            member = tarfile.TarInfo(file[0])
            member.size = len(file[1])
            tar.addfile(member, io.BytesIO(file[1]))
    return sink.getvalue()


def write_version(
    folder: Path, shards: Sequence[tuple[bytes, int]], *, inverted: bool = False, **manifest: Any
) -> Path:
    """A version of given shards: the bytes of each, and how many samples are to be in it."""
    (folder / "shards").mkdir(parents=True)
    entries = []
    for number, (data, samples) in enumerate(shards):
        name = f"{number:05}.tar"
        (folder / "shards" / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        entries.append({"name": name, "sha256": digest, "bytes": len(data), "samples": samples})
    found: dict[str, Any] = {
        "version": 1,
        "hash": hashlib.sha256(b"".join(data for data, _ in shards)).hexdigest(),
        "items": sum(samples for _, samples in shards),
        "labels": {},
        "inverted": inverted,
        "height": SHAPE[0],
        "width": SHAPE[1],
        "shards": entries,
    }
    (folder / "manifest.json").write_text(json.dumps(found | manifest), encoding="utf-8")
    return folder


def make_version(
    folder: Path,
    count: int,
    *,
    per_shard: int = 5,
    inverted: bool = False,
    labels: Sequence[str | None] = (None,),
    tags: Sequence[Sequence[str]] = ((),),
) -> Path:
    """A sound version; labels and tags take turns."""
    samples = [
        sample(number, label=labels[number % len(labels)], tags=tags[number % len(tags)])
        for number in range(count)
    ]
    groups = [samples[start : start + per_shard] for start in range(0, count, per_shard)]
    shards = [(tar_of(file for files in group for file in files), len(group)) for group in groups]
    return write_version(folder, shards, inverted=inverted)


def make_index(
    labels: Sequence[str | None], tags: Sequence[Sequence[str]] | None = None
) -> SampleIndex:
    """An index without any file."""
    part = IndexPart()
    for number, label in enumerate(labels):
        part.add(key_of(number), 0, 1, label, tags[number] if tags else ())
    return join_parts(["00000.tar"], [part.packed()])
