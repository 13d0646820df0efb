"""The mathematics of the metrics: how far two sets of features are from each other.

The Fréchet and the kernel distance are those of torchmetrics, fed with features instead of
pictures. What it lacks, or has only with weights that it downloads, is ours.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from training.errors import SetupError
from training.statistics import Statistics

_ROWS = 1024  # rows of distances at once
_ALONE = {"sync_on_compute": False}  # else it waits for all GPUs, of which one takes the metrics


class _Given(nn.Module):
    """Stands where torchmetrics has its network: the features are given, not pictures."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Statistics, fake: Statistics) -> float:
    """Take the Fréchet distance of two Gaussians (arXiv:1706.08500), in float64.

    Its bias falls with the number of pictures: figures of different numbers are not comparable.

    Raises
    ------
    SetupError
        If torchmetrics is not installed.
    """
    metric = _torchmetrics("fid").FrechetInceptionDistance(_Given(len(real.total)), **_ALONE)
    # an empty batch: tells the number type, and that something came
    metric.update(fake.total.new_empty(0, len(fake.total)), real=False)
    for side, statistics in (("real", real), ("fake", fake)):
        setattr(metric, f"{side}_features_sum", statistics.total)
        setattr(metric, f"{side}_features_cov_sum", statistics.products)
        setattr(metric, f"{side}_features_num_samples", torch.tensor(statistics.count))
    return max(float(metric.compute()), 0.0)  # below 0 by rounding alone


def kernel_distance(
    real: Tensor,
    fake: Tensor,
    *,
    subset: int = 1000,
    subsets: int = 100,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[float, float]:
    """Take the kernel distance, unbiased, over random subsets (arXiv:1801.01401), in float64.

    Parameters
    ----------
    real, fake : Tensor of shape (n, d)
    subset : int
        Pictures of each set in a subset, at most.
    subsets : int
        Subsets that are averaged.
    seed : int
        Of the subsets; the global random state is left as it was.
    device : torch.device or str

    Returns
    -------
    tuple of float
        Mean, may be below 0; and standard deviation between the subsets.

    Raises
    ------
    SetupError
        If torchmetrics is not installed.
    """
    subset = min(subset, len(real), len(fake))
    module = _torchmetrics("kid")
    with warnings.catch_warnings():
        # it keeps all features, which is meant: they are a bounded part
        warnings.filterwarnings("ignore", ".*will save all extracted features", UserWarning)
        metric = module.KernelInceptionDistance(
            _Given(real.shape[1]), subsets=subsets, subset_size=subset, **_ALONE
        )
    metric.update(real.to(device).double(), real=True)
    metric.update(fake.to(device).double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def precision_recall(
    real: Tensor, fake: Tensor, *, neighbours: int = 3, device: torch.device | str = "cpu"
) -> tuple[float, float]:
    """Take precision and recall by manifolds of nearest neighbours (arXiv:1904.06991).

    A picture belongs to the manifold of a set if it lies within the distance of some picture of
    that set to its k-th nearest neighbour there. As many are taken of one set as of the other.

    Parameters
    ----------
    real, fake : Tensor of shape (n, d), in random order
    neighbours : int
        k.
    device : torch.device or str

    Returns
    -------
    tuple of float
        Share of the generated ones in the manifold of the real ones, and the reverse.

    Raises
    ------
    SetupError
        If there are not more than k pictures.
    """
    count = min(len(real), len(fake))
    if count <= neighbours:
        raise SetupError(
            f"precision and recall need more than {neighbours} pictures of each, got {count}"
        )
    real, fake = (x[:count].to(device).double() for x in (real, fake))
    return (
        _covered(fake, real, _radii(real, neighbours)),
        _covered(real, fake, _radii(fake, neighbours)),
    )


def _radii(points: Tensor, neighbours: int) -> Tensor:
    """Distance of every point to its k-th nearest other one, (n,)."""
    rows = [
        torch.cdist(part, points).kthvalue(neighbours + 1, dim=1).values  # the first is itself
        for part in torch.split(points, _ROWS)
    ]
    return torch.cat(rows)


def _covered(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of the points that lie within the radius of some centre."""
    inside = [(torch.cdist(part, centres) <= radii).any(1) for part in torch.split(points, _ROWS)]
    return float(torch.cat(inside).double().mean())


def trimmed_mean(values: Tensor, share: float = 0.01) -> float:
    """Mean without the lowest and the highest share, as path lengths are averaged."""
    low, high = torch.quantile(values.double(), torch.tensor([share, 1 - share]).double())
    return float(values[(values >= low) & (values <= high)].double().mean())


def _torchmetrics(name: str) -> Any:
    """One module of torchmetrics, imported only when a metric needs it."""
    try:
        if name == "fid":
            from torchmetrics.image import fid

            return fid
        from torchmetrics.image import kid

        return kid
    except ImportError as error:
        raise SetupError(
            "Fréchet and kernel distances need the package torchmetrics, which is not installed: "
            "`pip install torchmetrics`, or leave out fd_own, kid_own, fid, kid"
        ) from error
