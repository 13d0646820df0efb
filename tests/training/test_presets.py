"""Presets against the table of the authors' automatic configuration, and what users get wrong."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import TrainingConfig
from training.errors import SetupError
from training.presets import PRESETS, known_keys, overlay, resolve

SIZES = [(256, 256), (384, 512), (512, 384), (512, 512), (1024, 1024)]


def auto(size: tuple[int, int], gpus: int = 1, **sections: dict[str, Any]) -> TrainingConfig:
    return resolve("stylegan2-ada", sections, size=size, gpus=gpus)


@pytest.mark.parametrize(
    ("size", "gpus", "batch", "group", "base", "lr", "gamma", "ema"),
    [
        # max(min(g·min(4096//res, 32), 64), g); min(batch/g, 4); .0002·H·W/batch; batch·10/32
        ((256, 256), 1, 16, 4, 16384, 0.0025, 0.8192, 5.0),
        ((256, 256), 8, 64, 4, 16384, 0.0025, 0.2048, 20.0),
        ((512, 384), 1, 8, 4, 32768, 0.0025, 4.9152, 2.5),
        ((384, 512), 8, 64, 4, 32768, 0.0025, 0.6144, 20.0),
        ((512, 512), 1, 8, 4, 32768, 0.0025, 6.5536, 2.5),
        ((512, 512), 8, 64, 4, 32768, 0.0025, 0.8192, 20.0),
        ((1024, 1024), 1, 4, 4, 32768, 0.002, 52.4288, 1.25),
        ((1024, 1024), 8, 32, 4, 32768, 0.002, 6.5536, 10.0),
    ],
)
def test_the_automatic_configuration(
    size: tuple[int, int],
    gpus: int,
    batch: int,
    group: int,
    base: int,
    lr: float,
    gamma: float,
    ema: float,
) -> None:
    config = auto(size, gpus)
    assert config.optimizer.batch == batch
    assert config.optimizer.batch_gpu == batch // gpus
    assert config.network.mbstd_group == group
    assert config.network.channel_base == base
    assert config.optimizer.G_lr == config.optimizer.D_lr == lr
    assert config.loss.r1_gamma == pytest.approx(gamma)
    assert config.optimizer.ema_kimg == ema


def test_what_the_table_says_of_all_sizes() -> None:
    config = auto((256, 256))
    network, optimizer, loss = config.network, config.optimizer, config.loss
    assert (network.z_dim, network.w_dim, network.mapping_layers) == (512, 512, 2)
    assert (network.channel_max, network.mbstd_channels) == (512, 1)
    assert (network.half_resolutions, network.conv_clamp) == (4, 256)
    assert (optimizer.beta1, optimizer.beta2, optimizer.eps) == (0, 0.99, 1e-8)
    assert optimizer.ema_ramp == 0.05
    assert (loss.pl_weight, loss.pl_decay, loss.pl_batch_shrink) == (2, 0.01, 2)
    assert (loss.style_mixing, loss.pl_interval, loss.r1_interval) == (0.9, 4, 16)
    assert (config.augment.target, config.augment.interval, config.augment.kimg) == (0.6, 4, 500)
    assert (config.run.total_kimg, config.run.tick_kimg, config.run.snapshot_ticks) == (
        25_000,
        4,
        50,
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("gpus", range(1, 9))
def test_every_preset_resolves_or_says_with_which_batch(
    preset: str, size: tuple[int, int], gpus: int
) -> None:
    try:
        config = resolve(preset, {}, size=size, gpus=gpus)
    except SetupError as error:
        assert "`optimizer.batch` must be a multiple of" in str(error)
        (batch,) = re.findall(r"use a batch of (\d+)$", str(error))
        config = resolve(preset, {"optimizer": {"batch": int(batch)}}, size=size, gpus=gpus)
    batch, at_once = config.optimizer.batch, config.optimizer.batch_gpu
    group = config.network.mbstd_group
    assert batch is not None
    assert at_once is not None
    assert group is not None
    assert batch % (at_once * gpus) == 0
    assert at_once % min(group, at_once) == 0
    # With one picture a group there is nothing to compare: D would not see a collapse.
    assert min(group, at_once) > 1 or preset == "tiny"
    open_ = {
        f"{name}.{key}"
        for name, section in config.model_dump(exclude={"preset"}).items()
        for key, value in section.items()
        if value is None
    }
    assert open_ <= {"data.fold", "optimizer.ema_ramp"}


def test_presets_are_what_they_are_named_for() -> None:
    sneaker = resolve("sneaker", {}, size=(384, 512), gpus=1)
    assert (sneaker.loss.r1_gamma, sneaker.loss.pl_weight, sneaker.loss.style_mixing) == (1, 0, 0)
    assert (sneaker.network.mbstd_group, sneaker.optimizer.batch) == (20, 20)
    assert sneaker.network.channel_base == 2 * 32768
    ext = resolve("stylegan2-ext", {}, size=(512, 512), gpus=1)
    assert (ext.loss.r1_gamma, ext.loss.pl_weight, ext.loss.style_mixing) == (5, 0, 0)
    assert (ext.network.z_dim, ext.network.w_dim, ext.network.mapping_layers) == (1024, 1024, 4)
    assert (ext.network.channel_base, ext.network.channel_max) == (32768, 1024)
    assert (ext.network.mbstd_group, ext.network.mbstd_channels) == (32, 4)
    assert not ext.data.mirror
    tiny = resolve("tiny", {}, size=(48, 64), gpus=1)
    assert (tiny.run.device, tiny.network.half, tiny.data.workers) == ("auto", "off", 0)


def test_overrides_win_over_preset_and_arithmetic() -> None:
    asked = {
        "network": {"mbstd_group": 5, "channel_base": 1000},
        "loss": {"r1_gamma": 0.0},
        "optimizer": {"batch": 40, "batch_gpu": 10, "D_lr": 0.001},
    }
    config = resolve("sneaker", asked, size=(384, 512), gpus=2)
    assert (config.network.mbstd_group, config.network.channel_base) == (5, 1000)
    assert config.loss.r1_gamma == 0
    assert (config.optimizer.batch, config.optimizer.batch_gpu) == (40, 10)
    assert (config.optimizer.D_lr, config.optimizer.G_lr) == (0.001, 0.0025)
    assert config.loss.style_mixing == 0  # the preset's, where nothing is asked for
    assert config.optimizer.ema_kimg == 12.5  # of the batch that was asked for


def test_gamma_follows_the_batch_that_is_asked_for() -> None:
    assert auto((512, 512), optimizer={"batch": 16}).loss.r1_gamma == pytest.approx(3.2768)


def test_relativistic_pairing_has_r2_as_strong_as_r1() -> None:
    config = auto((256, 256), loss={"kind": "relativistic"})
    assert config.loss.r2_gamma == config.loss.r1_gamma == pytest.approx(0.8192)
    config = auto((256, 256), loss={"kind": "relativistic", "r1_gamma": 3.0})
    assert config.loss.r2_gamma == 3
    config = auto((256, 256), loss={"kind": "relativistic", "r2_gamma": 2.0})
    assert config.loss.r1_gamma == pytest.approx(0.8192)
    assert config.loss.r2_gamma == 2
    assert auto((256, 256)).loss.r2_gamma == 0


@pytest.mark.parametrize(
    ("preset", "overrides", "gpus", "words"),
    [
        ("sneeker", {}, 1, "preset 'sneeker' is unknown; did you mean 'sneaker'?"),
        ("xyz", {}, 1, "preset 'xyz' is unknown; there are: stylegan2-ada, sneaker"),
        ("tiny", {"loss": {"r1_gama": 1}}, 1, "`loss.r1_gama` is no setting; did you mean"),
        ("tiny", {"los": {"r1_gamma": 1}}, 1, "`los` is no setting"),
        ("tiny", {"optimizer": {"G_lr": -1}}, 1, "`optimizer.G_lr`: Input should be greater than"),
        ("tiny", {"run": {"seed": "many"}}, 1, "`run.seed`: .*, got 'many'"),
        ("tiny", {"optimizer": {"batch": 10}}, 4, "multiple of 4 GPUs × 2 .* 10; use a batch of 8"),
        ("tiny", {"optimizer": {"batch": 2}}, 4, "multiple of 4 GPUs × 1 .* 2; use a batch of 4"),
        (
            "tiny",
            {"optimizer": {"batch": 12, "batch_gpu": 5}},
            1,
            "multiple of 1 GPUs × 5 images at once, got 12; use one of 1, 2, 3, 4, 6, 12 for",
        ),
        (
            "tiny",
            {"optimizer": {"batch": 12}, "network": {"mbstd_group": 5}},
            1,
            "`network.mbstd_group` must divide the 12 images at once on a GPU, got 5; use 4",
        ),
        ("tiny", {}, 0, "GPUs must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_named_with_its_remedy(
    preset: str, overrides: dict[str, Any], gpus: int, words: str
) -> None:
    with pytest.raises(SetupError, match=words):
        resolve(preset, overrides, size=(48, 64), gpus=gpus)


@settings(max_examples=60)
@given(st.integers(1, 80), st.integers(1, 8))
def test_the_remedy_for_a_batch_helps(batch: int, gpus: int) -> None:
    asked = {"optimizer": {"batch": batch}}
    try:
        resolve("stylegan2-ada", asked, size=(256, 256), gpus=gpus)
    except SetupError as error:
        (better,) = re.findall(r"use a batch of (\d+)$", str(error))
        asked = {"optimizer": {"batch": int(better)}}
        resolve("stylegan2-ada", asked, size=(256, 256), gpus=gpus)
    else:
        assert batch % gpus == 0


def test_all_settings_are_known() -> None:
    keys = known_keys()
    assert len(keys) == len(set(keys))
    assert {"preset", "loss.r1_gamma", "run.device", "augment.luma_flip"} <= set(keys)


# -- going on -------------------------------------------------------------------------------------


def test_a_run_goes_on_as_saved_with_what_is_asked_for() -> None:
    saved = auto((256, 256), loss={"r1_gamma": 7.0})
    asked = overlay(saved, {"run": {"total_kimg": 3.0}}, gpus=1)
    assert asked.run.total_kimg == 3
    assert asked.model_copy(update={"run": saved.run}) == saved


def test_on_more_gpus_the_batch_is_cut_up_anew() -> None:
    saved = auto((256, 256))
    assert (saved.optimizer.batch, saved.optimizer.batch_gpu) == (16, 16)
    for gpus, at_once in ((2, 8), (4, 4), (1, 16)):
        assert overlay(saved, {}, gpus=gpus).optimizer.batch_gpu == at_once
        assert overlay(saved, {}, gpus=gpus).optimizer.batch == 16
    with pytest.raises(SetupError, match="multiple of 3 GPUs"):
        overlay(saved, {}, gpus=3)


def test_accumulation_stays_where_the_batch_still_divides() -> None:
    saved = auto((256, 256), optimizer={"batch_gpu": 4})
    assert overlay(saved, {}, gpus=2).optimizer.batch_gpu == 4
    assert overlay(saved, {"optimizer": {"batch_gpu": 2}}, gpus=2).optimizer.batch_gpu == 2
