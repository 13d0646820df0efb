"""Reading a published version: what the training loop is fed with.

A version's folder is all that is needed. Whether the set is trained on inverted is written in its
manifest, so that a loader cannot get it wrong: shards hold pictures as people see them, and 255 - x
is taken here, on pixels, without a second lossy encoding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.data.pictures import PictureError, decode_into
from training.data.tarball import RawSample, TarballError, read_samples
from training.errors import ShardError

__all__ = ["Manifest", "Pixels", "PublishedVersion", "Sample", "ShardEntry", "ShardError"]

Pixels = NDArray[np.uint8]

MANIFEST: Final = "manifest.json"
SHARDS: Final = "shards"

# Both become names of files: no separator, never hidden.
_FileName = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]{0,127}$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class ShardEntry(_Entry):
    """What the manifest says of one shard."""

    name: _FileName
    sha256: _Sha256
    bytes: int = Field(ge=0)
    samples: int = Field(ge=0)


class Manifest(_Entry):
    """What training needs of `manifest.json`; there is more in it."""

    version: int = Field(ge=0)
    hash: _FileName
    items: int = Field(ge=0)
    labels: dict[str, int]
    inverted: bool
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    shards: tuple[ShardEntry, ...] = Field(strict=False)


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

    Attributes
    ----------
    folder : Path
    manifest : dict
        All of `manifest.json`.
    entries : tuple of ShardEntry
        What it says of the shards.
    shards : list of Path
        Their files, in the same order.

    Raises
    ------
    ShardError
        If the manifest is missing or wrong, names no pictures, or a shard that it names is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MANIFEST
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise ShardError(
                f"{folder} holds no {MANIFEST}; give the folder of a published version"
            ) from None
        except OSError as error:
            raise ShardError(f"{path} cannot be read: {error.strerror or error}") from error
        self.manifest, self._checked = parse_manifest(data, str(path))
        self.entries = self._checked.shards
        self.shards = [folder / SHARDS / entry.name for entry in self.entries]
        missing = [str(path) for path in self.shards if not path.is_file()]
        if missing:
            are = "is" if len(missing) == 1 else "are"
            raise ShardError(
                f"{shortened(missing)} {are} missing; copy the whole folder of the version again"
            )

    def __repr__(self) -> str:
        return f"PublishedVersion({str(self.folder)!r})"

    @property
    def hash(self) -> str:
        """Hash of the content, which names it."""
        return self._checked.hash

    @property
    def version(self) -> int:
        """Its number."""
        return self._checked.version

    @property
    def items(self) -> int:
        """Pictures in it, > 0."""
        return self._checked.items

    @property
    def labels(self) -> dict[str, int]:
        """Pictures by label; those without one do not count."""
        return dict(self._checked.labels)

    @property
    def inverted(self) -> bool:
        """Whether pictures are trained on as 255 - x."""
        return self._checked.inverted

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every picture, px."""
        return self._checked.height, self._checked.width

    def samples(self) -> Iterator[Sample]:
        """Go through all samples once, in the order of the shards, which is shuffled for good.

        Raises
        ------
        ShardError
            If a shard is damaged, a picture cannot be decoded or has another size than the
            manifest says; it is named.
        """
        for path in self.shards:
            try:
                with path.open("rb") as file:
                    for raw in read_samples(file, path.stat().st_size):
                        yield self._sample(raw, f"{path}: {raw.key}")
            except TarballError as error:
                raise ShardError(f"{path} is damaged: {error}; copy it again") from error

    def _sample(self, raw: RawSample, name: str) -> Sample:
        planes = np.empty((3, *self.shape), np.uint8)
        try:
            decode_into(raw.image, planes, inverted=self.inverted)
            label, tags = parse_meta(raw.meta)
        except PictureError as error:
            raise ShardError(f"{name} {error}") from error
        except ValueError as error:
            raise ShardError(f"{name}.json {error}") from error
        return Sample(raw.key, np.ascontiguousarray(planes.transpose(1, 2, 0)), label, tags)


def parse_manifest(data: bytes, where: str) -> tuple[dict[str, Any], Manifest]:
    """Read a manifest: all of it, and checked what training needs.

    Parameters
    ----------
    data
        JSON text.
    where
        Its file, for messages.

    Raises
    ------
    ShardError
        If it is no JSON, a key is missing or wrong (it is named), or it names no pictures.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{where} is not valid JSON: {error}; copy it again") from error
    try:
        manifest = Manifest.model_validate(found)
    except ValidationError as error:
        raise ShardError(f"{where}: {_first(error)}; copy it again, or publish again") from None
    problem = _contradiction(manifest)
    if problem:
        raise ShardError(f"{where}: {problem}; copy it again, or publish again")
    if not manifest.items:
        raise ShardError(
            f"{where} names no pictures (`items` is 0): there is nothing to train on; accept some "
            "in the review, run `nonesuch publish` and train on that version"
        )
    return found, manifest


def _first(error: ValidationError) -> str:
    known = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in known["loc"])
    if known["type"] == "missing":
        return f"the key `{key}` is missing"
    got = f", got {known['input']!r:.80}"
    return f"`{key}` is wrong: {known['msg']}{got}" if key else f"it is wrong: {known['msg']}{got}"


def _contradiction(manifest: Manifest) -> str | None:
    names = [entry.name for entry in manifest.shards]
    if len(set(names)) != len(names):
        return "`shards` names one file twice"
    samples = sum(entry.samples for entry in manifest.shards)
    if samples != manifest.items:
        return f"`items` is {manifest.items}, but its shards have {samples} samples"
    return None


def parse_meta(text: bytes) -> tuple[str | None, tuple[str, ...]]:
    """Read a sample's JSON; gives its label and its tags.

    Raises
    ------
    ValueError
        If it is not what `nonesuch publish` writes.
    """
    try:
        known = json.loads(text)
    except RecursionError:
        raise ValueError("is not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}") from error
    if not isinstance(known, Mapping):
        raise ValueError(f"must be a JSON object, got {known!r:.80}")
    label, tags = known.get("label"), known.get("tags") or []
    if label is not None and not isinstance(label, str):
        raise ValueError(f"`label` must be text or null, got {label!r:.80}")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"`tags` must be a list of texts, got {tags!r:.80}")
    return label, tuple(tags)


def shortened(names: list[str], most: int = 20) -> str:
    """List names for a message; not thousands of them."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
