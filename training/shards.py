"""Reading a published version: what the training loop is fed with.

A version's folder is all that is needed. Whether the set is trained on inverted is written in its
manifest, so that a loader cannot get it wrong: shards hold pictures as people see them, and 255 - x
is taken here, on pixels, without a second lossy encoding.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import webdataset as wds
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_PICTURES = ("jpg", "png", "webp")


class ShardError(Exception):
    """A published version cannot be trained on; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One training picture.

    Attributes
    ----------
    key : str
        Its key in the shard.
    pixels : ndarray of shape (H, W, 3), uint8
        Inverted where the manifest says so.
    label : str or None
    tags : tuple of str
    """

    key: str
    pixels: Pixels
    label: str | None
    tags: tuple[str, ...]


class PublishedVersion:
    """A version's folder.

    Parameters
    ----------
    folder : Path
        Holds `manifest.json` and `shards/`.

    Raises
    ------
    ShardError
        If the manifest is missing or a shard that it names is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            text = (folder / "manifest.json").read_text("utf-8")
            self.manifest: dict[str, Any] = json.loads(text)
        except FileNotFoundError:
            raise ShardError(
                f"{folder} holds no manifest.json; give the folder of a published version"
            ) from None
        except ValueError as error:
            raise ShardError(f"{folder / 'manifest.json'} is not valid JSON: {error}") from error
        for path in self.shards:
            if not path.is_file():
                raise ShardError(f"{path} is missing; copy the whole folder of the version again")

    @property
    def shards(self) -> list[Path]:
        """Files of the shards, in order."""
        return [self.folder / "shards" / shard["name"] for shard in self.manifest["shards"]]

    @property
    def inverted(self) -> bool:
        """Whether pictures are trained on as 255 - x."""
        return bool(self.manifest["inverted"])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every picture, px."""
        return int(self.manifest["height"]), int(self.manifest["width"])

    def samples(self) -> Iterator[Sample]:
        """Go through all samples once, in the order of the shards, which is shuffled for good.

        Raises
        ------
        ShardError
            If a picture cannot be decoded or has another size than the manifest says; it is named.
        """
        urls = [str(path) for path in self.shards]
        for raw in wds.WebDataset(urls, shardshuffle=False):
            yield self._sample(raw)

    def _sample(self, raw: dict[str, Any]) -> Sample:
        name = f"{raw['__url__']}: {raw['__key__']}"
        data = next((raw[kind] for kind in _PICTURES if kind in raw), None)
        if data is None:
            raise ShardError(f"{name} holds no picture; verify the version's checksums")
        try:
            with Image.open(io.BytesIO(data)) as image:
                pixels = np.asarray(image.convert("RGB"))
        except Exception as error:  # decoders raise whatever damaged bytes lead them to
            raise ShardError(f"{name} cannot be decoded: {error}") from error
        if pixels.shape[:2] != self.shape:
            raise ShardError(f"{name} is {pixels.shape[:2]}, must be {self.shape} (height, width)")
        known = json.loads(raw["json"])
        return Sample(
            raw["__key__"],
            255 - pixels if self.inverted else pixels,
            known.get("label"),
            tuple(known.get("tags") or ()),
        )
