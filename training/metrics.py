"""How good generated pictures are: FID, KID, precision and recall, perceptual path length.

The published figures need published weights (`training.inception`). Without any, the same
mathematics on our own encoder gives figures of other names, `fd_own`, `kid_own`, `pr_own` and
`ppl_own`: they order our own runs on one set of pictures and say nothing beside published ones.

========== ============================== ==========================================
asked for   figures                        meaning
========== ============================== ==========================================
fid         fid                            Fréchet distance; 0 is best
kid         kid, kid_std                   kernel distance; 0 is best, may fall below
pr          precision, recall              share of good ones; share of variety
ppl         ppl                            change along a path in w; lower is smoother
========== ============================== ==========================================

Those of our own encoder end in `_own`. `n_real` and `n_fake` go with them: a Fréchet distance is
biased upwards by small numbers, so compare at equal ones only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from training.encoder import Encoder, OwnEncoder
from training.errors import SetupError
from training.inception import load_inception, load_lpips
from training.metrics_distances import (
    frechet_distance,
    kernel_distance,
    precision_recall,
    trimmed_mean,
)
from training.metrics_generated import Generated, GeneratorLike
from training.statistics import Statistics, StatisticsCache, collect

__all__ = [
    "OWN",
    "PUBLISHED",
    "Figures",
    "Generated",
    "GeneratorLike",
    "Progress",
    "StatisticsCache",
    "encoders",
    "measure",
]

OWN = ("fd_own", "kid_own", "pr_own", "ppl_own")
PUBLISHED = ("fid", "kid", "pr", "ppl")

_EPSILON = 1e-4  # step of the path length, as published
_KEEP = 10_000  # features kept for KID, precision and recall
_SEED = 0  # of subsets

Batches = Iterable[Tensor]
Progress = Callable[[str, int], None]


class Figures(dict[str, float]):
    """Figures by name, `n_real` and `n_fake` among them, and the encoder that they were taken with.

    Parameters
    ----------
    encoder : str
        Name of the encoder; figures of different ones are not comparable.
    """

    def __init__(self, encoder: str) -> None:
        super().__init__()
        self.encoder = encoder

    def __str__(self) -> str:
        numbers = {"n_real": "real", "n_fake": "generated", "n_steps": "steps"}
        values = [f"{name} {value:.4g}" for name, value in self.items() if name not in numbers]
        counts = [f"{self[n]:,.0f} {what}" for n, what in numbers.items() if n in self]
        return f"{', '.join(values)} ({self.encoder}; {', '.join(counts)})"


def encoders(
    names: Iterable[str], *, inception: Path | None = None, lpips: Path | None = None
) -> list[tuple[Encoder, tuple[str, ...]]]:
    """Load the encoders that metrics need, each with the metrics that it is for.

    Call it before hours of work depend on it: what is missing comes out here.

    Parameters
    ----------
    names : iterable of str
        Of `OWN` and `PUBLISHED`.
    inception, lpips : Path, optional
        Files of weights; see `training.inception`.

    Raises
    ------
    SetupError
        If a name is unknown, or weights are missing or damaged.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in OWN + PUBLISHED:
            raise SetupError(f"metrics are {', '.join(OWN + PUBLISHED)}, got {name!r}")
    groups: tuple[tuple[tuple[str, ...], Callable[[], Encoder]], ...] = (
        (OWN, OwnEncoder),
        (PUBLISHED[:3], partial(load_inception, inception)),
        (PUBLISHED[3:], partial(load_lpips, lpips)),
    )
    chosen = [(tuple(name for name in wanted if name in group), load) for group, load in groups]
    return [(load(), found) for found, load in chosen if found]


def measure(
    names: Iterable[str],
    *,
    real: Batches | Callable[[], Batches],
    fake: Callable[[int], Batches],
    count: int,
    encoder: Encoder,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    cache: StatisticsCache | None = None,
    keep: int = _KEEP,
) -> Figures:
    """Take figures of generated pictures, beside real ones.

    Parameters
    ----------
    names : iterable of str
        All of one encoder, as `encoders` groups them.
    real : iterable of Tensor of shape (n, 3, H, W), uint8, or a callable that gives one
        All real pictures, as people see them. Not asked for where the cache has their statistics.
    fake : callable
        `fake(count)` gives batches of generated ones; a path length needs `Generated`.
    count : int
        How many to generate: 50,000 where figures are published.
    encoder : Encoder
    device : torch.device or str
        Where it runs.
    progress : callable, optional
        Told what goes on ("real", "generated", "steps") and how many are done.
    cache : StatisticsCache, optional
        Where statistics of the real pictures are kept.
    keep : int
        Pictures of each that KID, precision and recall look at, at most.

    Returns
    -------
    Figures
        See the table above.

    Raises
    ------
    SetupError
        If a name does not belong to the encoder, there are too few pictures, or a package is
        missing.
    """
    wanted = [_checked_name(name, encoder) for name in dict.fromkeys(names)]
    report = progress or (lambda what, done: None)
    encoder = encoder.to(device)
    figures = Figures(encoder.name)
    distances = [name for name in wanted if name != "ppl"]
    if distances:
        gather = partial(collect, encoder=encoder, keep=keep, seed=_SEED, device=device)
        reals = _real_statistics(gather, real, encoder, cache, keep, partial(report, "real"))
        fakes = gather(fake(count), report=partial(report, "generated"))
        if fakes.count != count:
            raise SetupError(f"`fake` must give {count} pictures, gave {fakes.count}")
        figures |= _distances(distances, reals, fakes, encoder.suffix, device)
    if "ppl" in wanted:
        figures |= _path_length(fake, count, encoder, device, partial(report, "steps"))
    return figures


def _checked_name(name: str, encoder: Encoder) -> str:
    """Name of a metric without its suffix, `fd` as `fid`."""
    group = OWN if encoder.suffix else PUBLISHED
    if name not in group:
        raise SetupError(
            f"encoder {encoder.name} is for {', '.join(group)}, got {name!r}; "
            "take the encoder that `encoders` gives for it"
        )
    return PUBLISHED[group.index(name)]


def _real_statistics(
    gather: Callable[..., Statistics],
    real: Batches | Callable[[], Batches],
    encoder: Encoder,
    cache: StatisticsCache | None,
    keep: int,
    report: Callable[[int], None],
) -> Statistics:
    def make() -> Statistics:
        return gather(real() if callable(real) else real, report=report)

    return make() if cache is None else cache.get(encoder, keep=keep, seed=_SEED, make=make)


def _distances(
    names: Sequence[str],
    real: Statistics,
    fake: Statistics,
    suffix: str,
    device: torch.device | str,
) -> dict[str, float]:
    figures: dict[str, float] = {}
    if "fid" in names:
        figures["fd_own" if suffix else "fid"] = frechet_distance(real, fake)
    if "kid" in names:
        mean, deviation = kernel_distance(real.kept, fake.kept, seed=_SEED, device=device)
        figures |= {f"kid{suffix}": mean, f"kid_std{suffix}": deviation}
    if "pr" in names:
        precision, recall = precision_recall(real.kept, fake.kept, device=device)
        figures |= {f"precision{suffix}": precision, f"recall{suffix}": recall}
    return figures | {"n_real": float(real.count), "n_fake": float(fake.count)}


def _path_length(
    fake: object,
    count: int,
    encoder: Encoder,
    device: torch.device | str,
    report: Callable[[int], None],
) -> dict[str, float]:
    """Mean squared change of features / ε² (arXiv:1812.04948, section 4.1), 1% off each end."""
    if not isinstance(fake, Generated):
        raise SetupError("path lengths need a generator; give `Generated(G, …)`, not pictures")
    lengths: list[Tensor] = []
    for before, after in fake.steps(count, _EPSILON):
        change = encoder(after.to(device)).double() - encoder(before.to(device)).double()
        lengths.append((change.square().sum(1) / _EPSILON**2).cpu())
        report(sum(map(len, lengths)))
    return {f"ppl{encoder.suffix}": trimmed_mean(torch.cat(lengths)), "n_steps": float(count)}
