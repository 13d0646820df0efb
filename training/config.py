"""What a training is told: one frozen model, nested by what it configures.

A field that is `None` by default is filled in by `training.presets.resolve`, from the size of the
pictures and the number of GPUs; a resolved configuration holds no such `None`, is printed, and is
saved with the run.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(Section):
    """Generator and discriminator."""

    z_dim: int = Field(512, ge=1, description="numbers in a latent z")
    w_dim: int = Field(512, ge=1, description="numbers in a latent w; width of the mapping")
    mapping_layers: int | None = Field(None, ge=1, description="layers of the mapping network")
    channel_base: int | None = Field(
        None,
        ge=1,
        description="channels of a layer are this / its longer side, at most the maximum",
    )
    channel_max: int = Field(512, ge=1, description="channels of a layer, at most")
    mbstd_group: int | None = Field(
        None, ge=1, description="images that minibatch standard deviation compares"
    )
    mbstd_channels: int = Field(1, ge=1, description="channels that it gives")
    half: Literal["auto", "bfloat16", "float16", "off"] = Field(
        "auto", description="number type of the highest resolutions; auto: bfloat16 on a GPU"
    )
    half_resolutions: int = Field(4, ge=0, description="how many resolutions it is used in")
    conv_clamp: float = Field(256.0, gt=0, description="16-bit activations are cut off here")


class AugmentConfig(Section):
    """Adaptive discriminator augmentation.

    Each transformation has a strength: 0 is off, 1 that of the paper.
    """

    mode: Literal["ada", "fixed", "off"] = Field(
        "ada", description="p adapted to the target, p as given, or none"
    )
    p: float = Field(0.0, ge=0, le=1, description="probability of each, at the start or for good")
    target: float = Field(0.6, gt=0, lt=1, description="mean sign of D on real pictures to hold")
    interval: int = Field(4, ge=1, description="batches between adaptations")
    kimg: float = Field(500.0, gt=0, description="thousand images in which p may go from 0 to 1")
    p_max: float = Field(
        0.8, gt=0, le=1, description="p, at most; beyond about 0.8 augmentations leak"
    )
    xflip: float = Field(1.0, ge=0, le=1, description="mirror; share of the chance")
    rotate90: float = Field(
        0.0, ge=0, le=1, description="turn by 90 degrees: off, things have an up"
    )
    shift: float = Field(1.0, ge=0, description="shift by whole pixels, × 1/8 of a side")
    scale: float = Field(1.0, ge=0, description="enlarge or shrink, × σ 0.2 octaves")
    rotate: float = Field(1.0, ge=0, le=1, description="turn by any angle, × ±180 degrees")
    anisotropy: float = Field(1.0, ge=0, description="stretch one axis, × σ 0.2 octaves")
    subpixel_shift: float = Field(1.0, ge=0, description="shift by fractions, × σ 1/8 of a side")
    brightness: float = Field(1.0, ge=0, description="× σ 0.2")
    contrast: float = Field(1.0, ge=0, description="× σ 0.5 octaves")
    luma_flip: float = Field(
        0.0, ge=0, le=1, description="light to dark: off, it turns white backgrounds black"
    )
    hue: float = Field(1.0, ge=0, le=1, description="turn of hue, × ±180 degrees")
    saturation: float = Field(1.0, ge=0, description="× σ 1 octave")


class LossConfig(Section):
    """What the networks are trained on."""

    kind: Literal["logistic", "relativistic"] = Field(
        "logistic", description="non-saturating logistic, or relativistic pairing"
    )
    r1_gamma: float | None = Field(
        None, ge=0, description="weight of R1, the gradient at real pictures"
    )
    r2_gamma: float = Field(
        0.0,
        ge=0,
        description="weight of R2, the gradient at generated ones; relativistic: that of R1 if 0",
    )
    r1_interval: int = Field(16, ge=1, description="R1 and R2 are taken every so many steps")
    pl_weight: float = Field(2.0, ge=0, description="weight of path length; 0 is off")
    pl_interval: int = Field(4, ge=1, description="path length is taken every so many steps")
    pl_decay: float = Field(0.01, gt=0, le=1, description="speed of the mean path length")
    pl_batch_shrink: int = Field(2, ge=1, description="path length is taken on 1/n of the batch")
    style_mixing: float = Field(0.9, ge=0, le=1, description="probability of mixing two latents")


class OptimizerConfig(Section):
    """Adam, and the moving average of the generator."""

    batch: int | None = Field(None, ge=1, description="images a step, over all GPUs")
    batch_gpu: int | None = Field(
        None, ge=1, description="images at once on one GPU; smaller means gradient accumulation"
    )
    G_lr: float | None = Field(None, gt=0, description="learning rate of the generator")
    D_lr: float | None = Field(None, gt=0, description="learning rate of the discriminator")
    beta1: float = Field(0.0, ge=0, lt=1, description="of Adam")
    beta2: float = Field(0.99, ge=0, lt=1, description="of Adam")
    eps: float = Field(1e-8, gt=0, description="of Adam")
    ema_kimg: float | None = Field(None, gt=0, description="half-life of the moving average, kimg")
    ema_ramp: float | None = Field(
        0.05, gt=0, description="the half-life is at most this share of what was trained on so far"
    )
    freeze_d: int = Field(
        0, ge=0, description="highest resolutions of D that a transfer leaves as they are"
    )


class DataConfig(Section):
    """Which pictures of the version, and how they are read."""

    tags: tuple[str, ...] = Field((), description="only pictures with all of these tags")
    labels: tuple[str, ...] = Field((), description="only pictures with one of these labels")
    conditional: bool = Field(False, description="train on the labels as classes")
    mirror: bool = Field(
        False,
        description="every picture mirrored half of the time: off, it would mirror text and logos",
    )
    fold: str | None = Field(
        None, pattern=r"^\d+/\d+$", description="leave out one part of the pictures, `2/5`"
    )
    workers: int = Field(2, ge=0, description="processes that decode, for each GPU")


class SpeedConfig(Section):
    """What makes it faster and changes no result beyond rounding."""

    compile: bool = Field(
        False, description="torch.compile of the networks; takes minutes at the first start"
    )
    cuda_graphs: Literal["auto", "on", "off"] = Field(
        "auto", description="record each phase once and replay it; auto: on a GPU"
    )
    channels_last: Literal["auto", "on", "off"] = Field(
        "auto", description="memory layout of activations; auto: on a GPU"
    )
    fold_filters: bool = Field(
        False, description="low-pass filters folded into the weights where the resolution changes"
    )
    tf32: bool = Field(True, description="32-bit convolutions and products in TF32 on a GPU")


class RunConfig(Section):
    """How long, and what is kept and shown."""

    seed: int = Field(0, ge=0, description="of everything that is drawn")
    total_kimg: float = Field(25_000.0, ge=0, description="thousand images to train on, in all")
    tick_kimg: float = Field(4.0, gt=0, description="figures and sample grids every so often")
    snapshot_ticks: int = Field(50, ge=1, description="snapshots every so many ticks")
    keep_last: int = Field(3, ge=1, description="newest snapshots that are kept")
    keep_every: int = Field(
        20, ge=0, description="every so manieth snapshot is kept for good; 0: none"
    )
    grid: int = Field(64, ge=1, le=1024, description="pictures in a sample grid, about")
    grid_psi: float = Field(1.0, ge=0, le=2, description="truncation of the sample grids")
    log_steps: bool = Field(False, description="write the losses of every step to steps.jsonl")
    metrics: tuple[
        Literal["fd_own", "kid_own", "pr_own", "ppl_own", "fid", "kid", "pr", "ppl"], ...
    ] = Field(
        (),
        description="taken at every snapshot; off, they cost time: `nonesuch metrics` afterwards",
    )
    device: Literal["cuda", "cpu", "auto"] = Field(
        "cuda", description="auto: a GPU where there is one, else the CPU"
    )


class TrainingConfig(Section):
    """All of it."""

    preset: str = Field("stylegan2-ada", description="that the rest comes from")
    network: NetworkConfig = NetworkConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    data: DataConfig = DataConfig()
    speed: SpeedConfig = SpeedConfig()
    run: RunConfig = RunConfig()
