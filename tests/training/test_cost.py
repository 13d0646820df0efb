import re
from typing import Any

import pytest
import torch

from training.build import build
from training.config import TrainingConfig
from training.cost import (
    Cost,
    conv_flops_per_second,
    estimate,
    fitting_batch,
    memory_explained,
)
from training.errors import SetupError
from training.presets import resolve

CPU = torch.device("cpu")
SIZE = (32, 24)


def settings(**sections: dict[str, Any]) -> TrainingConfig:
    return resolve("tiny", sections, size=SIZE, gpus=1)


def cost(config: TrainingConfig, classes: int = 0, size: tuple[int, int] = SIZE) -> Cost:
    return estimate(config, size, classes, CPU)


@pytest.mark.parametrize("classes", [0, 5])
def test_parameters_are_those_of_the_real_networks(classes: int) -> None:
    config = settings()
    networks = build(config.network, SIZE, classes, CPU)
    found = cost(config, classes)
    assert found.G_parameters == sum(p.numel() for p in networks.G.parameters())
    assert found.D_parameters == sum(p.numel() for p in networks.D.parameters())


def test_operations_of_one_more_resolution_are_known() -> None:
    """All layers but those of the highest resolution are the same: count these by hand.

    8 channels throughout, so a 3×3 convolution takes 2·9·8·8 operations a pixel.
    """
    network = {"channel_base": 8, "channel_max": 8, "z_dim": 8, "w_dim": 8}
    config = settings(network=network)
    wide = config.network.model_copy(update={"channel_base": 10_000})
    config = config.model_copy(update={"network": wide})
    small, large = cost(config, size=(16, 12)), cost(config, size=(32, 24))
    pixels = 32 * 24
    conv = 2 * 9 * 8 * 8
    # G: a convolution before the pixels are doubled and one after, and 1×1 to RGB; for each of the
    # three, w to 8 styles; for two, the norms of 8×8 filters.
    layers = conv * pixels / 4 + conv * pixels + 2 * 8 * 3 * pixels
    assert large.G_flops - small.G_flops == layers + 3 * 2 * 8 * 8 + 2 * 2 * 8 * 8
    # D: a convolution on all pixels and one on a quarter, as is the 1×1 shortcut; RGB to 8 channels
    # is on all pixels now, and was on a quarter.
    layers = conv * pixels + conv * pixels / 4 + 2 * 8 * 8 * pixels / 4
    assert large.D_flops - small.D_flops == layers + 2 * 8 * 3 * pixels * 3 / 4


def test_operations_do_not_depend_on_the_batch() -> None:
    one, eight = (cost(settings(optimizer={"batch": 8, "batch_gpu": n})) for n in (1, 8))
    assert one.G_flops == pytest.approx(eight.G_flops, rel=0.01)
    assert one.D_flops == pytest.approx(eight.D_flops, rel=0.01)


def test_every_phase_costs() -> None:
    plain = cost(settings(loss={"r1_gamma": 0, "pl_weight": 0})).flops_per_image
    r1 = cost(settings(loss={"r1_gamma": 1, "pl_weight": 0})).flops_per_image
    often = cost(settings(loss={"r1_gamma": 1, "pl_weight": 0, "r1_interval": 4}))
    path = cost(settings(loss={"r1_gamma": 0, "pl_weight": 2})).flops_per_image
    r2 = cost(settings(loss={"r1_gamma": 1, "r2_gamma": 1, "pl_weight": 0})).flops_per_image
    assert plain < r1 < often.flops_per_image
    assert r1 < r2
    assert plain < path


def test_training_costs_more_than_twice_the_forward_passes() -> None:
    found = cost(settings())
    forward = found.G_flops + found.D_flops
    assert 3 * forward < found.flops_per_image < 15 * forward


def test_memory_grows_with_the_pictures_at_once() -> None:
    memory = [
        cost(settings(optimizer={"batch": 16, "batch_gpu": n})).memory for n in (1, 2, 4, 8, 16)
    ]
    assert memory == sorted(memory)
    # What belongs to the pictures is proportional to their number.
    assert memory[4] - memory[3] == pytest.approx(8 * (memory[1] - memory[0]), rel=0.05)


def test_memory_holds_at_least_the_weights_and_their_moments() -> None:
    found = cost(settings(optimizer={"batch": 1, "batch_gpu": 1}))
    assert found.memory > 4 * (5 * found.G_parameters + 4 * found.D_parameters)


def test_a_convolution_is_timed() -> None:
    assert 1e6 < conv_flops_per_second(CPU, None, seconds=0.01) < 1e15


# -- what fits ------------------------------------------------------------------------------------


def needed(at_once: int, **sections: dict[str, Any]) -> float:
    return cost(settings(optimizer={"batch": 16, "batch_gpu": at_once}, **sections)).memory


def test_the_largest_batch_that_fits_is_named() -> None:
    config = settings(optimizer={"batch": 16, "batch_gpu": 8})
    for fitting in (4, 1):
        memory = needed(fitting) * 1.3 + 1
        assert fitting_batch(config, SIZE, 0, CPU, memory) == fitting


def test_not_even_one_may_fit() -> None:
    config = settings(optimizer={"batch": 16, "batch_gpu": 4})
    assert fitting_batch(config, SIZE, 0, CPU, 1000) is None


def test_what_is_known_not_to_fit_is_not_named_again() -> None:
    """It ran out of memory although the estimate is far below it: the estimate is scaled."""
    config = settings(optimizer={"batch": 16, "batch_gpu": 4})
    found = fitting_batch(config, SIZE, 0, CPU, memory=needed(4) * 10)
    assert found is not None
    assert found < 4


def test_the_batch_that_is_named_can_be_trained_with() -> None:
    """In halves and thirds of an odd batch, minibatch groups of two have no place."""
    config = settings(optimizer={"batch": 18, "batch_gpu": 18}, network={"mbstd_group": 2})
    found = fitting_batch(config, SIZE, 0, CPU, memory=needed(16))
    assert found == 6
    settings(optimizer={"batch": 18, "batch_gpu": found}, network={"mbstd_group": 2})


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_explained(error: Exception) -> None:
    config = settings(optimizer={"batch": 4})
    with (
        pytest.raises(
            SetupError, match=r"out of memory with 4 images at once on a machine"
        ) as told,
        memory_explained(config, SIZE, 0, CPU),
    ):
        raise error
    (fitting,) = re.findall(r"about (\d+) would fit: set optimizer.batch_gpu=\1,", str(told.value))
    assert int(fitting) in (1, 2)


def test_other_errors_pass_through() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes"),
        memory_explained(settings(), SIZE, 0, CPU),
    ):
        raise RuntimeError("shapes do not match")
