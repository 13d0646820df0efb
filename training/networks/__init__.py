"""Generator and discriminator: pure functions of tensors, in plain PyTorch."""

from training.networks.discriminator import Discriminator, minibatch_std
from training.networks.generator import Generator, Synthesis
from training.networks.layers import Conv, Dense, normalize_2nd_moment
from training.networks.mapping import Mapping
from training.networks.size import Pyramid, Size, channels, pyramid

__all__ = [
    "Conv",
    "Dense",
    "Discriminator",
    "Generator",
    "Mapping",
    "Pyramid",
    "Size",
    "Synthesis",
    "channels",
    "minibatch_std",
    "normalize_2nd_moment",
    "pyramid",
]
