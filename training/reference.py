"""A sample of a set as a file, so that pictures that come later are compared with the same one."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from training.data.index import hash_of
from training.density import MOST, NEIGHBOURS, Reference
from training.errors import SetupError

_NOT_WHOLE: Final = (
    zipfile.BadZipFile,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    AttributeError,
    TypeError,
)
_GROWN: Final = 1.5  # times as many pictures ask for another sample


@dataclass(frozen=True, slots=True)
class Kept:
    """A reference, and of how large a set it is a sample.

    Attributes
    ----------
    reference : Reference
    pictures : int
        In the set when the sample was drawn.
    """

    reference: Reference
    pictures: int

    def name(self, of: str) -> str:
        """Give eight hex digits that tell this sample from others.

        Parameters
        ----------
        of
            What set it is a sample of.
        """
        told = "\0".join([str(NEIGHBOURS), self.reference.encoder, of, *self.reference.keys])
        return hashlib.sha256(told.encode()).hexdigest()[:8]

    def fits(self, pictures: int, encoder: str) -> bool:
        """Tell whether it may still stand for a set of so many pictures: less than half are new."""
        return self.reference.encoder == encoder and pictures <= _GROWN * self.pictures


def lowest(keys: Sequence[str], most: int = MOST) -> list[int]:
    """Choose those with the lowest hashes, as `density.sample_reference` does.

    Returns
    -------
    list of int
        Places in `keys`, rising: the same pictures whatever the order of the keys.
    """
    hashes = np.fromiter((hash_of(key) for key in keys), np.uint64, len(keys))
    found = np.argsort(hashes, kind="stable")[:most]
    return [int(place) for place in np.sort(found)]


def to_bytes(kept: Kept) -> bytes:
    """Write a reference as an NPZ file; keys are in it as they are, for a takedown to find."""
    reference = kept.reference
    sink = io.BytesIO()
    np.savez(
        sink,
        keys=np.array([key.encode() for key in reference.keys]),
        points=reference.points.numpy(),
        mean=reference.mean.numpy(),
        scale=reference.scale.numpy(),
        encoder=np.array(reference.encoder.encode()),
        pictures=np.array(kept.pictures, np.int64),
    )
    return sink.getvalue()


def from_bytes(data: bytes) -> Kept:
    """Read a reference.

    Raises
    ------
    SetupError
        If it is not whole.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            reference = Reference(
                keys=tuple(key.decode() for key in file["keys"].tolist()),
                points=torch.from_numpy(file["points"]),
                mean=torch.from_numpy(file["mean"]),
                scale=torch.from_numpy(file["scale"]),
                encoder=file["encoder"].item().decode(),
            )
            pictures = int(file["pictures"])
    except _NOT_WHOLE as error:
        raise SetupError(f"it is no whole sample ({error})") from error
    if len(reference.keys) != len(reference.points):
        raise SetupError("it is no whole sample (keys and points differ in number)")
    return Kept(reference, pictures)
