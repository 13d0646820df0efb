"""What generator and discriminator are trained on, as pure functions of logits and gradients.

Non-saturating logistic loss (arXiv:1406.2661), R1 and R2 (arXiv:1801.04406), path length
(arXiv:1912.04958, section 3.2), relativistic pairing (arXiv:1807.00734, arXiv:2501.05441).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def generator_loss(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Give the generator's loss of each picture.

    Parameters
    ----------
    fake, real : Tensor of shape (N,)
        Logits. With those of real pictures, the pairs are compared: relativistic.

    Returns
    -------
    Tensor of shape (N,), >= 0
    """
    return softplus(-fake) if real is None else softplus(real - fake)


def discriminator_loss(fake: Tensor, real: Tensor, *, relativistic: bool) -> Tensor:
    """Give the discriminator's loss of each pair of pictures; shapes as in `generator_loss`."""
    return softplus(fake - real) if relativistic else softplus(fake) + softplus(-real)


def gradient_penalty(gradient: Tensor) -> Tensor:
    """Give the squared norm of each picture's gradient, which γ/2 weighs (R1, R2).

    Parameters
    ----------
    gradient : Tensor of shape (N, C, H, W)
        Of the logits with respect to the pictures as they come from the loader, in [-1, 1].

    Returns
    -------
    Tensor of shape (N,), >= 0
    """
    return gradient.float().square().sum(dim=(1, 2, 3))


def path_lengths(gradient: Tensor) -> Tensor:
    """Give how far each picture moves for a step in w: root of the mean over ws of squared norms.

    Parameters
    ----------
    gradient : Tensor of shape (N, num_ws, w_dim)
        Of (image × direction).sum() with respect to ws; direction is N(0, 1) / √(H·W).

    Returns
    -------
    Tensor of shape (N,), >= 0
    """
    # The smallest number keeps the root's gradient finite where a picture does not move at all.
    return (gradient.float().square().sum(2).mean(1) + torch.finfo(torch.float32).tiny).sqrt()


def path_penalty(lengths: Tensor, mean: Tensor) -> Tensor:
    """Give the squared distance of each length from their running mean; shapes (N,) and ()."""
    return (lengths - mean).square()


def ema_beta(batch: int, cur_nimg: int, ema_kimg: float, ramp: float | None) -> float:
    """Give the share of the old average that a step keeps.

    The half-life is `ema_kimg`, at most `ramp` of what was trained on so far, so that an early
    average is not one of noise.
    """
    half_life = ema_kimg * 1000
    if ramp is not None:
        half_life = min(half_life, cur_nimg * ramp)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


def lazy(interval: int | None) -> float:
    """Give the factor on Adam's learning rate, and exponent of its betas.

    A network that is also stepped by its regularization every `interval` steps takes
    interval + 1 steps in the time of `interval` (arXiv:1912.04958, appendix B).
    """
    return 1.0 if interval is None else interval / (interval + 1)
