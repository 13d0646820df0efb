"""Directions from tags: a linear model tells ws with a tag from those without.

Tags are given to samples that people have looked at, by seed, or to projected pictures, by name.
The normal of the model's plane is the direction (https://arxiv.org/abs/1907.10786).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from training.draws import generator
from training.errors import SetupError
from training.latent.directions import Direction, DirectionSet
from training.latent.labelled import Examples
from training.latent.moments import std_along, w_moments
from training.latent.sampler import Sampler
from training.trained_on import Progress, silent

LEAST: Final = 5
"""Examples with a tag, and without it, that a model needs at least."""

_FOLDS: Final = 5
_L2: Final = 1.0  # of 0.01 to 10 nearest to true directions at 100 to 400 examples
_SAMPLES: Final = 4096  # of w, for the scale of directions


@dataclass(frozen=True, slots=True)
class TagModel:
    """Tells how likely a w has a tag.

    Attributes
    ----------
    tag : str
    weight : Tensor of shape (w_dim,), float64
    bias : float
    auroc : float
        Chance that one with the tag scores above one without, both held out; 0.5 is no better
        than chance.
    accuracy : float
        Share of held-out examples that are told rightly, with and without the tag counting alike.
    positives, negatives : int
        Examples.
    """

    tag: str
    weight: Tensor
    bias: float
    auroc: float
    accuracy: float
    positives: int
    negatives: int

    def predict(self, w: Tensor) -> Tensor:
        """Give the probability of the tag, were half of all pictures to have it.

        Parameters
        ----------
        w : Tensor of shape (N, w_dim)

        Returns
        -------
        Tensor of shape (N,), float64, on the CPU
        """
        return torch.sigmoid(w.double().cpu() @ self.weight + self.bias)

    @property
    def chance(self) -> float:
        """What `auroc` stays below in 19 of 20 cases where tags say nothing of w."""
        both = self.positives + self.negatives + 1
        return 0.5 + 1.645 * math.sqrt(both / (12 * self.positives * self.negatives))

    @property
    def useful(self) -> bool:
        """Whether it is better than chance."""
        return self.auroc > self.chance


def tag_models(examples: Examples, seed: int = 0) -> tuple[list[TagModel], dict[str, str]]:
    """Fit a model for each tag; all examples without it are its counterexamples.

    Parameters
    ----------
    examples
    seed
        Of how examples are dealt into folds.

    Returns
    -------
    models : list of TagModel
        The one that tells best first.
    left_out : dict of str to str
        Why a tag has none.
    """
    models, left_out = [], {}
    for tag in examples.names:
        has = torch.tensor([tag in tags for tags in examples.tags])
        positives = int(has.sum())
        if min(positives, len(has) - positives) < LEAST:
            left_out[tag] = (
                f"{positives} with it, {len(has) - positives} without; {LEAST} of each are needed"
            )
            continue
        models.append(_model(tag, examples.w, has, seed))
    return sorted(models, key=lambda model: (-model.auroc, model.tag)), left_out


def tag_directions(
    sampler: Sampler,
    models: list[TagModel],
    *,
    samples: int = _SAMPLES,
    seed: int = 0,
    label: int | None = None,
    name: str = "tags",
    progress: Progress = silent,
) -> DirectionSet:
    """Turn models of tags into directions, each named as its tag, for all layers.

    Parameters
    ----------
    sampler
    models
        At least one.
    samples, seed, label
        Ws that scales are measured with: how many, the first seed, their class.
    name
        Of the set.
    progress
        Told how many ws were drawn.

    Raises
    ------
    SetupError
        If there is no model.
    """
    if not models:
        raise SetupError(
            f"no tag has at least {LEAST} examples with it and {LEAST} without; tag more pictures"
        )
    covariance = w_moments(sampler, samples, seed=seed, label=label, progress=progress).covariance
    vectors = F.normalize(torch.stack([model.weight for model in models]), dim=1)
    scales = std_along(covariance, vectors)
    directions = [
        Direction(model.tag, vector.float(), (0, sampler.num_ws), scale, figures=_figures(model))
        for model, vector, scale in zip(models, vectors, scales, strict=True)
    ]
    snapshot = sampler.model.name
    return DirectionSet(name, "tags", snapshot, sampler.w_dim, sampler.num_ws, tuple(directions))


def model_of(direction: Direction) -> TagModel:
    """Give the model that a direction came from.

    Raises
    ------
    SetupError
        If it did not come from a tag.
    """
    try:
        figures = direction.figures
        return TagModel(
            direction.name,
            direction.vector.double() * figures["gain"],
            figures["bias"],
            figures["auroc"],
            figures["accuracy"],
            int(figures["positives"]),
            int(figures["negatives"]),
        )
    except KeyError:
        raise SetupError(
            f"direction {direction.name!r} must come from tags to tell who has it; find such with "
            "`nonesuch latent tags`"
        ) from None


def fit(w: Tensor, has: Tensor, l2: float = _L2) -> tuple[Tensor, float]:
    """Fit a logistic regression, examples with and without the tag counting alike in sum.

    All of w is scaled by one number, not each part of it by its own: so the penalty keeps the
    direction where w varies, and pictures change along it.

    Parameters
    ----------
    w : Tensor of shape (N, w_dim)
    has : Tensor of shape (N,), bool
        True and False both occur.
    l2
        Weight of the penalty, against the mean loss.

    Returns
    -------
    weight : Tensor of shape (w_dim,), float64
    bias : float
    """
    x = w.double().cpu()
    mean = x.mean(0)
    spread = float((x - mean).square().mean().sqrt().clamp_min(1e-12))
    x = (x - mean) / spread
    target = has.double()
    share = target.mean()
    balance = torch.where(has, 0.5 / share, 0.5 / (1 - share))
    weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        solver.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x @ weight + bias, target, balance)
        loss = loss + 0.5 * l2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    with torch.enable_grad():
        solver.step(closure)  # type: ignore[no-untyped-call]
    slope = weight.detach() / spread
    return slope, float(bias.detach() - slope @ mean)


def auroc(scores: Tensor, has: Tensor) -> float:
    """Give the chance that a score with the tag is above one without; ties count half.

    Parameters
    ----------
    scores : Tensor of shape (N,)
    has : Tensor of shape (N,), bool
    """
    apart = scores[has][:, None] - scores[~has]
    return float((apart > 0).double().mean() + 0.5 * (apart == 0).double().mean())


def _model(tag: str, w: Tensor, has: Tensor, seed: int) -> TagModel:
    measured = [_held_out(w, has, fold) for fold in _folds(has, seed)]
    weight, bias = fit(w, has)
    positives = int(has.sum())
    return TagModel(
        tag,
        weight,
        bias,
        sum(each[0] for each in measured) / len(measured),
        sum(each[1] for each in measured) / len(measured),
        positives,
        len(has) - positives,
    )


def _held_out(w: Tensor, has: Tensor, fold: Tensor) -> tuple[float, float]:
    weight, bias = fit(w[~fold], has[~fold])
    scores, truth = w[fold].double().cpu() @ weight + bias, has[fold]
    right = (scores > 0) == truth
    accuracy = (right[truth].double().mean() + right[~truth].double().mean()) / 2
    return auroc(scores, truth), float(accuracy)


def _folds(has: Tensor, seed: int) -> list[Tensor]:
    """Deal examples into folds, those with the tag and those without each evenly."""
    place = torch.empty(len(has), dtype=torch.int64)
    draw = generator(torch.device("cpu"), seed, 0, "folds")
    for group in (has, ~has):
        rows = group.nonzero().flatten()
        place[rows[torch.randperm(len(rows), generator=draw)]] = torch.arange(len(rows)) % _FOLDS
    return [place == fold for fold in range(_FOLDS)]


def _figures(model: TagModel) -> dict[str, float]:
    return {
        "auroc": model.auroc,
        "chance": model.chance,
        "accuracy": model.accuracy,
        "positives": model.positives,
        "negatives": model.negatives,
        "gain": float(model.weight.norm()),
        "bias": model.bias,
    }
