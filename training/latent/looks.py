"""What a picture is made of, in words that can be written down, sent, and kept: a look.

A look is a starting point (a seed, or a projected picture), then what was done to it, in this
order: truncation, styles of another seed in some layers, steps along directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from training.errors import SetupError
from training.latent.draws import MAX_SEED, NoiseKind, Truncation
from training.latent.sampler import Sampler

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mix(_Part):
    """Styles of another seed, in the ws from `first` to before `last`."""

    seed: Seed
    first: int = Field(ge=0)
    last: int = Field(ge=0)


class Edit(_Part):
    """A step along a direction: number `index` of a set, `amount` in standard deviations of w."""

    set: str
    index: int = Field(ge=0)
    amount: float = Field(ge=-100, le=100)


class Look(_Part):
    """What a picture is made of."""

    seed: Seed = 0
    projection: str | None = Field(None, description="name of one; it takes the seed's place")
    psi: float = Field(1.0, ge=-4, le=4)
    cutoff: int | None = Field(None, ge=0)
    label: int | None = Field(None, ge=0)
    noise: NoiseKind = "fixed"
    mix: Mix | None = None
    edits: tuple[Edit, ...] = Field((), max_length=64)


class Between(_Part):
    """A picture between two looks: `share` of the way from the first to the second."""

    look: Look
    other: Look | None = None
    share: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _needs_other(self) -> Between:
        if self.share and self.other is None:
            raise ValueError("`share` needs `other`, the look that it leads to")
        return self


class Directions(Protocol):
    """What is needed of a set of directions."""

    def move(self, ws: Tensor, index: int, amount: float) -> Tensor:
        """Go along direction `index`; `ws` is (num_ws, w_dim)."""


@dataclass(frozen=True, slots=True)
class Known:
    """Where names in looks are looked up; each raises `SetupError` for one that there is not.

    Attributes
    ----------
    directions : callable
        Gives a set by its name.
    projection : callable
        Gives the ws of a projected picture, (num_ws, w_dim).
    """

    directions: Callable[[str], Directions]
    projection: Callable[[str], Tensor]


def compose(
    sampler: Sampler, pictures: Sequence[Between], known: Known
) -> tuple[Tensor, list[Tensor]]:
    """Turn looks into ws and noise.

    Parameters
    ----------
    sampler
    pictures
        At least one.
    known

    Returns
    -------
    ws : Tensor of shape (N, num_ws, w_dim)
    noises : list of Tensor of shape (N, 1, h, w)
        Between two looks, that of the first.

    Raises
    ------
    SetupError
        If a look asks for what the model, or `known`, does not have.
    """
    ws = torch.stack([_between(sampler, picture, known) for picture in pictures])
    each = [sampler.noises(picture.look.noise, [picture.look.seed]) for picture in pictures]
    return ws, [torch.cat(layer) for layer in zip(*each, strict=True)]


def mix(ws: Tensor, other: Tensor, layers: tuple[int, int]) -> Tensor:
    """Take the ws of some layers from others.

    Parameters
    ----------
    ws, other : Tensor of shape (..., num_ws, w_dim)
        Broadcast against each other.
    layers
        From the first to before the second.
    """
    at = torch.arange(ws.shape[-2], device=ws.device)
    is_other = (at >= layers[0]) & (at < layers[1])
    return torch.where(is_other[:, None], other, ws)


def _between(sampler: Sampler, picture: Between, known: Known) -> Tensor:
    ws = _ws(sampler, picture.look, known)
    if picture.other is None:
        return ws
    return torch.lerp(ws, _ws(sampler, picture.other, known), picture.share)


def _ws(sampler: Sampler, look: Look, known: Known) -> Tensor:
    ws = _start(sampler, look, known)
    if look.mix is not None:
        first, last = look.mix.first, look.mix.last
        if not first <= last <= sampler.num_ws:
            raise SetupError(
                f"`mix` must be of ws between 0 and {sampler.num_ws}, got {first} to {last}"
            )
        other = sampler.ws([look.mix.seed], _truncation(look), look.label)[0]
        ws = mix(ws, other, (first, last))
    for edit in look.edits:
        ws = known.directions(edit.set).move(ws, edit.index, edit.amount)
    return ws


def _start(sampler: Sampler, look: Look, known: Known) -> Tensor:
    if look.projection is None:
        return sampler.ws([look.seed], _truncation(look), look.label)[0]
    ws = known.projection(look.projection).to(sampler.device)
    pulled = torch.lerp(sampler.model.G.w_avg.expand_as(ws), ws, look.psi)
    return pulled if look.cutoff is None else torch.cat((pulled[: look.cutoff], ws[look.cutoff :]))


def _truncation(look: Look) -> Truncation:
    return Truncation(look.psi, look.cutoff)
