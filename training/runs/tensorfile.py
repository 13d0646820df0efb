"""Tensors in a safetensors file, written tensor by tensor.

The library's writer wants contiguous tensors in the processor's memory that share nothing, and
tells a full disk by an error of its own. This one takes them from wherever they are, one at a time,
and hashes what it writes. Reading is the library's. Format:
https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from torch import Tensor

from training.errors import SnapshotError
from training.runs.files import sync

_NAMES: Final = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class FileFacts(BaseModel):
    """What a file must be to be whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bytes: int
    sha256: str


def size_of(tensors: Mapping[str, Tensor]) -> int:
    """Give how many bytes a file of these tensors takes."""
    return len(_header(tensors)) + sum(tensor.nbytes for tensor in tensors.values())


def write(path: Path, tensors: Mapping[str, Tensor]) -> FileFacts:
    """Write tensors, of any layout, on any device, and have them put on the disk.

    Raises
    ------
    SnapshotError
        If a tensor is of a type that the format does not have.
    OSError
        If the file cannot be written.
    """
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in _pieces(tensors):
            file.write(piece)
            digest.update(piece)
        file.flush()
        sync(file.fileno())
        return FileFacts(bytes=file.tell(), sha256=digest.hexdigest())


def verify(path: Path, facts: FileFacts) -> None:
    """Compare a file with what it must be.

    Raises
    ------
    SnapshotError
        If it is missing, of another length, or of other contents.
    """
    try:
        size = path.stat().st_size
        if size != facts.bytes:
            raise SnapshotError(f"{path} is damaged: must have {facts.bytes} bytes, has {size}")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise SnapshotError(f"{path} is missing") from None
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read: {error.strerror}") from error
    if found != facts.sha256:
        raise SnapshotError(f"{path} is damaged: must have SHA-256 {facts.sha256}, has {found}")


def read(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file into memory of the processor.

    Raises
    ------
    SnapshotError
        If it is no safetensors file.
    """
    try:
        with safe_open(path, "pt") as file:
            # Copied: a mapped tensor would keep the file of a removed snapshot on the disk.
            return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise SnapshotError(f"{path} is no safetensors file: {error}") from error


def _ordered(tensors: Mapping[str, Tensor]) -> list[str]:
    """Put wide types first, so that every tensor begins at a multiple of its type's width."""
    return sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))


def _pieces(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    yield _header(tensors)
    for name in _ordered(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        # Not reshape(-1): one number may be called contiguous at any stride, and not be viewed.
        flat = tensor.as_strided((tensor.numel(),), (1,))
        yield flat.view(torch.uint8).numpy().data


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in _ordered(tensors):
        tensor = tensors[name]
        if tensor.dtype not in _NAMES:
            raise SnapshotError(
                f"tensor {name} must be of one of {', '.join(_NAMES.values())}, got {tensor.dtype}"
            )
        end = start + tensor.nbytes
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
