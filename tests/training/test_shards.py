from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.shards import PublishedVersion, ShardError

Pixels = NDArray[np.uint8]

# webdataset leaves closing its files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def version(folder: Path, pictures: dict[str, Pixels], *, inverted: bool) -> Path:
    """A published version of one shard, made by hand."""
    (folder / "shards").mkdir(parents=True)
    path = folder / "shards" / "00000.tar"
    with tarfile.open(path, "w") as tar:
        for key, pixels in pictures.items():
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            meta = json.dumps({"item_id": key, "label": "shoe", "tags": ["pov"]}).encode()
            for suffix, data in (("png", buffer.getvalue()), ("json", meta)):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    manifest = {
        "inverted": inverted,
        "height": 32,
        "width": 24,
        "shards": [{"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.fixture
def picture() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (32, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize("inverted", [False, True])
def test_pictures_are_inverted_as_the_manifest_says(
    tmp_path: Path, picture: Pixels, *, inverted: bool
) -> None:
    published = PublishedVersion(version(tmp_path / "1", {"a": picture}, inverted=inverted))
    (sample,) = published.samples()
    assert np.array_equal(sample.pixels, 255 - picture if inverted else picture)
    assert (sample.key, sample.label, sample.tags) == ("a", "shoe", ("pov",))


def test_a_missing_manifest_or_shard_is_named(tmp_path: Path, picture: Pixels) -> None:
    with pytest.raises(ShardError, match="manifest"):
        PublishedVersion(tmp_path)
    folder = version(tmp_path / "1", {"a": picture}, inverted=False)
    (folder / "shards" / "00000.tar").unlink()
    with pytest.raises(ShardError, match=r"00000\.tar is missing"):
        PublishedVersion(folder)


def test_a_picture_of_another_size_is_named(tmp_path: Path, picture: Pixels) -> None:
    folder = version(tmp_path / "1", {"a": picture, "odd-one": picture[:16]}, inverted=False)
    with pytest.raises(ShardError, match="odd-one"):
        list(PublishedVersion(folder).samples())
