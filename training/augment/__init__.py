"""Adaptive discriminator augmentation (arXiv:2006.06676)."""

from training.augment.adapt import adapted
from training.augment.pipe import AugmentParameters, AugmentPipe
from training.augment.sampler import sample

__all__ = ["AugmentParameters", "AugmentPipe", "adapted", "sample"]
