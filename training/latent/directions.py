"""Directions in w along which pictures change in one way, as sets that are saved with a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from training.errors import SetupError
from training.latent.sampler import Sampler
from training.runs.files import sync, sync_folder

Kind = Literal["sefa", "ganspace", "tags"]

FOLDER: Final = "directions"
"""Of a run: where its sets lie."""

SUFFIX: Final = ".safetensors"
RANGE: Final = 3.0
"""Standard deviations of w either way, within which pictures are mostly still good."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEY: Final = "vectors"


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction.

    Attributes
    ----------
    name : str
    vector : Tensor of shape (w_dim,), float32
        Of length 1, on the CPU.
    layers : tuple of int
        First and one-past-last w of a picture that it applies to.
    scale : float
        Standard deviation of w along it, > 0: what amounts are counted in.
    range : float
        Useful amounts are from -`range` to `range`.
    share : float or None
        Of the variance that it explains, in [0, 1], where that is known.
    figures : mapping of str to float
        What else was measured, such as `auroc`.
    """

    name: str
    vector: Tensor
    layers: tuple[int, int]
    scale: float
    range: float = RANGE
    share: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DirectionSet:
    """Directions that were found together.

    Attributes
    ----------
    name : str
        As its file is called.
    kind : str
        How they were found.
    snapshot : str
        Name of the snapshot that they were found in.
    w_dim, num_ws : int
        Of the model.
    directions : tuple of Direction
        The strongest first, in each group.
    """

    name: str
    kind: Kind
    snapshot: str
    w_dim: int
    num_ws: int
    directions: tuple[Direction, ...]

    def find(self, name: str) -> Direction:
        """Give a direction by its name.

        Raises
        ------
        SetupError
            If there is none; names those that there are.
        """
        for direction in self.directions:
            if direction.name == name:
                return direction
        known = ", ".join(direction.name for direction in self.directions)
        raise SetupError(f"set {self.name!r} has no direction {name!r}; it has {known}")

    def move(self, ws: Tensor, index: int, amount: float) -> Tensor:
        """Go along direction number `index`; see `apply`, for one picture: (num_ws, w_dim).

        Raises
        ------
        SetupError
            If there is no such direction.
        """
        if not 0 <= index < len(self.directions):
            raise SetupError(
                f"set {self.name!r} has directions 0 to {len(self.directions) - 1}, got {index}"
            )
        return apply(ws.unsqueeze(0), self.directions[index], amount)[0]

    def check(self, sampler: Sampler) -> None:
        """Refuse a model of another shape.

        Raises
        ------
        SetupError
            If its w or its layers are others.
        """
        if (sampler.w_dim, sampler.num_ws) != (self.w_dim, self.num_ws):
            raise SetupError(
                f"set {self.name!r} is of {self.snapshot}, with {self.num_ws} ws of {self.w_dim} "
                f"numbers; {sampler.model.path} has {sampler.num_ws} of {sampler.w_dim}; find "
                "directions in this model anew"
            )


def apply(ws: Tensor, direction: Direction, amount: float | Tensor) -> Tensor:
    """Move pictures along a direction.

    Parameters
    ----------
    ws : Tensor of shape (N, num_ws, w_dim)
        Left as it is.
    direction
    amount
        In standard deviations of w; one for all, or of shape (N,).

    Returns
    -------
    Tensor of shape (N, num_ws, w_dim)

    Raises
    ------
    SetupError
        If `ws` are of another model.
    """
    first, end = direction.layers
    if ws.ndim != 3 or ws.shape[2] != len(direction.vector) or ws.shape[1] < end:
        raise SetupError(
            f"`ws` must be (N, at least {end}, {len(direction.vector)}) for direction "
            f"{direction.name!r}, got {tuple(ws.shape)}; use a direction of the same model"
        )
    amounts = torch.as_tensor(amount, dtype=ws.dtype, device=ws.device).reshape(-1, 1, 1)
    moved = ws.clone()
    moved[:, first:end] += amounts * direction.scale * direction.vector.to(ws)
    return moved


class _DirectionFacts(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    layers: tuple[int, int]
    scale: float = Field(gt=0, allow_inf_nan=False)
    range: float = Field(gt=0, allow_inf_nan=False)
    share: float | None
    figures: dict[str, float]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    kind: Kind
    snapshot: str
    w_dim: int
    num_ws: int
    directions: list[_DirectionFacts] = Field(min_length=1)


def save_set(run: Path, found: DirectionSet) -> Path:
    """Save a set with a run; one of the same name is replaced.

    Returns
    -------
    Path
        Of the file: a tensor `vectors` (K, w_dim), and the rest as JSON in the header.
    """
    path = set_path(run, found.name)
    path.parent.mkdir(exist_ok=True)
    facts = _Facts(
        kind=found.kind,
        snapshot=found.snapshot,
        w_dim=found.w_dim,
        num_ws=found.num_ws,
        directions=[_DirectionFacts(**facts_of(direction)) for direction in found.directions],
    )
    vectors = torch.stack([direction.vector for direction in found.directions]).contiguous()
    data = safetensors.torch.save({_KEY: vectors}, {"facts": facts.model_dump_json()})
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            sync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
    return path


def set_path(run: Path, name: str) -> Path:
    """Give where a set of a run lies.

    Raises
    ------
    SetupError
        If that is no name for one.
    """
    if not _NAME.fullmatch(name):
        raise SetupError(
            f"the name of a set must be of letters, digits, dot, dash and underscore, got {name!r}"
        )
    return run / FOLDER / f"{name}{SUFFIX}"


def list_sets(run: Path) -> list[str]:
    """Give the names of a run's sets, damaged ones too, sorted."""
    names = (path.name.removesuffix(SUFFIX) for path in (run / FOLDER).glob(f"*{SUFFIX}"))
    return sorted(name for name in names if _NAME.fullmatch(name))


def open_set(run: Path, name: str) -> DirectionSet:
    """Load a set of a run by its name.

    Raises
    ------
    SetupError
        If there is none, naming those that there are; or as `load_set`.
    """
    path = set_path(run, name)
    if not path.is_file():
        known = ", ".join(list_sets(run)) or "none: find some with `nonesuch latent sefa`"
        raise SetupError(f"{run} has no set of directions {name!r}; it has {known}")
    return load_set(path)


def load_set(path: Path) -> DirectionSet:
    """Load a set.

    Raises
    ------
    SetupError
        If the file is not there, or is not one of a set.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = _Facts.model_validate_json((file.metadata() or {})["facts"])
            vectors = file.get_tensor(_KEY)
        directions = _directions(facts.directions, vectors, (facts.num_ws, facts.w_dim))
    except FileNotFoundError:
        raise SetupError(f"{path} is not there; give the file of a set of directions") from None
    except (SafetensorError, OSError, KeyError, ValidationError, ValueError) as error:
        what = str(error).partition("\n")[0]
        raise SetupError(
            f"{path} is no set of directions, or damaged: {what}; find them anew"
        ) from error
    name = path.name.removesuffix(SUFFIX)
    return DirectionSet(
        name, facts.kind, facts.snapshot, facts.w_dim, facts.num_ws, tuple(directions)
    )


def _directions(
    facts: Sequence[_DirectionFacts], vectors: Tensor, shape: tuple[int, int]
) -> list[Direction]:
    if vectors.shape != (len(facts), shape[1]) or not bool(vectors.isfinite().all()):
        raise ValueError(f"`{_KEY}` must be {len(facts)} finite vectors of {shape[1]} numbers")
    if any(not 0 <= each.layers[0] < each.layers[1] <= shape[0] for each in facts):
        raise ValueError(f"layers must lie within 0 and {shape[0]}")
    return [
        Direction(each.name, vector, each.layers, each.scale, each.range, each.share, each.figures)
        for each, vector in zip(facts, vectors.float().clone(), strict=True)
    ]


def facts_of(direction: Direction) -> dict[str, Any]:
    """Give what is known of a direction but its vector, as JSON has it."""
    facts = {key: getattr(direction, key) for key in _DirectionFacts.model_fields}
    return facts | {"figures": dict(direction.figures)}
