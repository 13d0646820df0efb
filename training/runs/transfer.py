"""Starting from the networks of another run, of whatever size or labels.

Tensors go by name and shape. Networks key the modules of a resolution by its size ("4x3", "8x6",
…), counted from the base, so that a network with one more resolution finds all but that one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from training.errors import SetupError, SnapshotError

_SIZE: Final = re.compile(r"(\d+)x(\d+)")

Shape = tuple[int, ...]


class Initialized(NamedTuple):
    """A tensor that had nothing to come from; `source` is None where the name was missing."""

    name: str
    source: Shape | None
    target: Shape


@dataclass(frozen=True)
class TransferReport:
    """What a transfer did.

    Attributes
    ----------
    loaded : int
        Tensors that were copied.
    initialized : list of (name, source shape or None, target shape)
        Tensors that stay as they were initialized.
    unused : list of str
        Names in the source, under the asked prefixes, that no module has.
    """

    loaded: int
    initialized: list[Initialized]
    unused: list[str]

    def summary(self) -> str:
        """Say it for people, a line for each tensor that was not copied."""
        total = self.loaded + len(self.initialized)
        lines = [f"{self.loaded} of {total} tensors taken over"]
        for name, source, target in self.initialized:
            why = "not in the source" if source is None else f"{_text(source)} in the source"
            lines.append(f"  {name} {_text(target)}: initialized, {why}")
        if self.unused:
            lines.append(f"  {len(self.unused)} of the source not used: {_few(self.unused)}")
        return "\n".join(lines)


def transfer(tensors: Mapping[str, Tensor], modules: Mapping[str, nn.Module]) -> TransferReport:
    """Copy what has the same name and shape, parameters and buffers alike.

    Parameters
    ----------
    tensors
        Of a snapshot, `<prefix>.<state_dict key>`.
    modules
        By prefix in the source: `{"G": G, "D": D, "G_ema": G_ema}`, or `{"G_ema": G}` to begin
        with the average. They change in place; device and number type are theirs.

    Raises
    ------
    SnapshotError
        If nothing fits at all.
    """
    loaded = 0
    initialized = []
    wanted = set()
    for prefix, module in modules.items():
        for key, target in module.state_dict().items():
            name = f"{prefix}.{key}"
            wanted.add(name)
            source = tensors.get(name)
            if source is not None and source.shape == target.shape:
                with torch.no_grad():
                    target.copy_(source)  # the state dict shares its memory with the module
                loaded += 1
            else:
                shape = None if source is None else tuple(source.shape)
                initialized.append(Initialized(name, shape, tuple(target.shape)))
    if not loaded:
        raise SnapshotError(_nothing(tensors, modules))
    asked = tuple(f"{prefix}." for prefix in modules)
    unused = [name for name in tensors if name.startswith(asked) and name not in wanted]
    return TransferReport(loaded, initialized, unused)


def freeze_d(D: nn.Module, n: int) -> list[str]:
    """Leave a discriminator's highest resolutions as they are (Freeze-D, arXiv:2002.10964).

    Parameters
    ----------
    D
        Its parameters lie under modules named by size, "512x384"; `from_rgb` is in the highest,
        or is one of its own and frozen as well.
    n
        Resolutions to freeze; 0 freezes nothing.

    Returns
    -------
    list of str
        Names of the parameters that are frozen.

    Raises
    ------
    SetupError
        If D has fewer resolutions, or nothing would be left to train.
    """
    if n == 0:
        return []
    sized = {name: _sizes(name) for name, _ in D.named_parameters()}
    sizes = sorted({size for found in sized.values() for size in found}, key=_pixels)
    chosen = set(sizes[-n:])
    frozen = [
        name
        for name, found in sized.items()
        if chosen & set(found) or (not found and "from_rgb" in name.split("."))
    ]
    if n > len(sizes) or len(frozen) == len(sized):
        most = max(len(sizes) - (len(frozen) == len(sized)), 0)
        raise SetupError(
            f"`optimizer.freeze_d` must be at most {most}, the resolutions of this discriminator "
            f"that can be frozen, got {n}"
        )
    for name in frozen:
        D.get_parameter(name).requires_grad_(False)
    return frozen


def _sizes(name: str) -> list[tuple[int, int]]:
    matches = (_SIZE.fullmatch(step) for step in name.split("."))
    return [(int(match[1]), int(match[2])) for match in matches if match]


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _nothing(tensors: Mapping[str, Tensor], modules: Mapping[str, nn.Module]) -> str:
    return (
        f"the checkpoint must hold tensors that fit {', '.join(modules)}, none of its "
        f"{len(tensors)} does ({_few(list(tensors)) or 'it is empty'}); give a snapshot of this "
        f"program"
    )


def _few(found: list[str]) -> str:
    return ", ".join(found[:3]) + (", …" if len(found) > 3 else "")


def _text(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "scalar"
