"""The chance of augmentation follows how sure D is of real pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from training.config import AugmentConfig


def adapted(p: Tensor, sign: Tensor, *, images: int, config: AugmentConfig) -> Tensor:
    """Move the chance of augmentation one step up or down (arXiv:2006.06676, section 3.1).

    Nothing is read back from the device.

    Parameters
    ----------
    p : Tensor of shape ()
        Chance at present.
    sign : Tensor of shape ()
        Mean sign of D on the real pictures since the last step, from [-1, 1]. Above the target, D
        overfits and p rises. NaN leaves p as it is.
    images
        Real pictures that were trained on since the last step.
    config
        Its `target`, `kimg` and `p_max` are used.

    Returns
    -------
    Tensor of shape ()
        Within [0, `p_max`], on the device and of the type of `p`.
    """
    direction = torch.sign(sign.to(p) - config.target).nan_to_num(0.0)
    step = images / (config.kimg * 1000)
    return (p + direction * step).clamp(0.0, config.p_max)
