from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from training.augment import AugmentParameters, AugmentPipe, adapted
from training.augment.warp import warped
from training.config import AugmentConfig
from training.errors import SetupError

Element = Callable[[AugmentParameters], Tensor]

SIZE = (16, 12)
STRENGTHS = (
    "xflip",
    "rotate90",
    "shift",
    "scale",
    "rotate",
    "anisotropy",
    "subpixel_shift",
    "brightness",
    "contrast",
    "luma_flip",
    "hue",
    "saturation",
)
GEOMETRIC = STRENGTHS[:7]
# Of what is drawn, some is nothing: half of the mirrorings, a quarter of the turns, and shifts by
# less than half a pixel of 64 and of 48, 1/16 × 1/12.
TOUCHED = {"xflip": 1 / 2, "rotate90": 3 / 4, "luma_flip": 1 / 2, "shift": 1 - 1 / 16 / 12}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def strengths(**on: float) -> AugmentConfig:
    """A configuration with all but these off."""
    return AugmentConfig(**{**dict.fromkeys(STRENGTHS, 0.0), **on})


def everything() -> AugmentConfig:
    return AugmentConfig(**dict.fromkeys(STRENGTHS, 1.0))


def pictures(n: int, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(n, 3, *size, generator=rng(7)) * 2 - 1


def touched(parameters: AugmentParameters) -> Tensor:
    """Tell which pictures are transformed at all."""
    geometry = (parameters.geometry - torch.eye(3)).abs().amax((1, 2)) > 1e-6
    colour = (parameters.colour - torch.eye(4)).abs().amax((1, 2)) > 1e-6
    return geometry | colour


def test_shapes_and_types() -> None:
    pipe = AugmentPipe(everything(), SIZE)
    drawn = pipe.draw(5, 1.0, rng())
    assert drawn.geometry.shape == (5, 3, 3) and drawn.geometry.dtype == torch.float32
    assert drawn.colour.shape == (5, 4, 4) and drawn.colour.dtype == torch.float32
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        result = pipe.apply(pictures(5).to(dtype), drawn)
        assert result.shape == (5, 3, *SIZE) and result.dtype == dtype
        assert result.isfinite().all()


def test_p_0_changes_nothing() -> None:
    pipe = AugmentPipe(everything(), SIZE)
    x = pictures(64)
    drawn = pipe.draw(64, 0.0, rng())
    assert not touched(drawn).any()
    assert torch.equal(pipe.apply(x, drawn), x)


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_share_of_pictures_that_are_touched(name: str, p: float) -> None:
    n = 8_000
    drawn = AugmentPipe(strengths(**{name: 1.0}), (64, 48)).draw(n, p, rng())
    expected = p * TOUCHED.get(name, 1.0)
    # five standard deviations
    assert touched(drawn).float().mean().item() == pytest.approx(expected, abs=2.5 / n**0.5)


@pytest.mark.parametrize("name", ["xflip", "rotate90", "luma_flip"])
def test_a_share_of_the_chance(name: str) -> None:
    drawn = AugmentPipe(strengths(**{name: 0.5}), SIZE).draw(8_000, 0.8, rng())
    assert touched(drawn).float().mean().item() == pytest.approx(0.4 * TOUCHED[name], abs=0.03)


def test_transformations_are_drawn_independently() -> None:
    drawn = AugmentPipe(strengths(xflip=1.0, brightness=1.0), SIZE).draw(8_000, 0.5, rng())
    flipped = drawn.geometry[:, 0, 0] < 0
    brightened = drawn.colour[:, 0, 3] != 0
    both = (flipped & brightened).float().mean().item()
    assert both == pytest.approx(0.25 * 0.5, abs=0.02)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_can_be_switched_off(name: str) -> None:
    x = pictures(32)
    pipe = AugmentPipe(strengths(), SIZE)
    assert torch.equal(pipe.apply(x, pipe.draw(32, 1.0, rng())), x)
    full, without = (
        AugmentPipe(everything().model_copy(update=update), SIZE).draw(32, 1.0, rng())
        for update in ({}, {name: 0.0})
    )
    geometry_differs = not torch.allclose(full.geometry, without.geometry)
    colour_differs = not torch.allclose(full.colour, without.colour)
    assert (geometry_differs, colour_differs) == (name in GEOMETRIC, name not in GEOMETRIC)


@pytest.mark.parametrize(
    ("name", "element", "sigma"),
    [
        ("scale", lambda drawn: drawn.geometry[:, 0, 0].log2(), 0.2),
        ("anisotropy", lambda drawn: drawn.geometry[:, 0, 0].log2(), 0.2),
        ("subpixel_shift", lambda drawn: drawn.geometry[:, 1, 2] / 64, 1 / 8),
        ("shift", lambda drawn: drawn.geometry[:, 1, 2] / 64, 1 / 8 / 3**0.5),
        ("rotate", lambda drawn: drawn.geometry[:, 0, 0], 1 / 2**0.5),
        ("brightness", lambda drawn: drawn.colour[:, 0, 3], 0.2),
        ("contrast", lambda drawn: drawn.colour[:, 0, 0].log2(), 0.5),
        ("saturation", lambda drawn: (drawn.colour[:, 0, 0] - drawn.colour[:, 0, 1]).log2(), 1.0),
    ],
)
def test_spreads_are_those_of_the_paper(name: str, element: Element, sigma: float) -> None:
    drawn = AugmentPipe(strengths(**{name: 1.0}), (64, 48)).draw(8_000, 1.0, rng())
    assert element(drawn).std().item() == pytest.approx(sigma, rel=0.05)
    assert element(drawn).mean().item() == pytest.approx(0, abs=0.06 * max(sigma, 0.25))


@pytest.mark.parametrize("name", ["scale", "anisotropy", "brightness", "contrast", "hue"])
def test_a_higher_strength_changes_more(name: str) -> None:
    weak, strong = (
        AugmentPipe(strengths(**{name: strength}), SIZE).draw(100, 1.0, rng())
        for strength in (0.1, 0.6)
    )

    def change(drawn: AugmentParameters) -> Tensor:
        return (drawn.geometry - torch.eye(3)).norm() + (drawn.colour - torch.eye(4)).norm()

    assert change(weak) < change(strong)


def test_as_many_numbers_are_drawn_whatever_p_and_the_strengths_are() -> None:
    states = set()
    for config in (strengths(), everything(), AugmentConfig()):
        for p in (0.0, 0.4, 1.0, torch.tensor(0.4)):
            generator = rng()
            AugmentPipe(config, SIZE).draw(7, p, generator)
            states.add(bytes(generator.get_state().numpy().tobytes()))
    assert len(states) == 1


def test_p_may_be_a_tensor() -> None:
    pipe = AugmentPipe(everything(), SIZE)
    number, tensor = (pipe.draw(50, p, rng()) for p in (0.4, torch.tensor(0.4)))
    assert torch.equal(number.geometry, tensor.geometry)
    assert torch.equal(number.colour, tensor.colour)


def test_what_a_small_p_touches_a_larger_one_touches_as_well() -> None:
    pipe = AugmentPipe(everything(), SIZE)
    few, many = (touched(pipe.draw(500, p, rng())) for p in (0.02, 0.1))
    assert few.sum() < many.sum()
    assert not (few & ~many).any()


def test_by_default_whites_stay_white_under_geometry() -> None:
    geometry_only = {"brightness": 0, "contrast": 0, "hue": 0, "saturation": 0}
    pipe = AugmentPipe(AugmentConfig(**geometry_only), SIZE)
    white = torch.ones(64, 3, *SIZE)
    result = pipe.apply(white, pipe.draw(64, 1.0, rng()))
    torch.testing.assert_close(result, white, rtol=0, atol=1e-5)


def test_by_default_nothing_is_turned_over_and_light_stays_light() -> None:
    config = AugmentConfig(rotate=0.0)
    drawn = AugmentPipe(config, SIZE).draw(500, 1.0, rng())
    assert (drawn.geometry[:, 1, 1] > 0).all()
    assert (drawn.geometry[:, 0, 1] == 0).all()
    assert (drawn.colour[:, :3, :3].sum((1, 2)) > 0).all()


@pytest.mark.parametrize("rows", [slice(1, 4), slice(1, None, 2), slice(0, 0)])
def test_rows_are_those_of_the_batch(rows: slice) -> None:
    pipe = AugmentPipe(everything(), SIZE)
    x, drawn = pictures(6), pipe.draw(6, 0.9, rng())
    part = pipe.apply(x[rows], drawn.rows(rows))
    torch.testing.assert_close(part, pipe.apply(x, drawn)[rows], rtol=0, atol=1e-6)


def test_joined_are_one_after_another() -> None:
    pipe = AugmentPipe(everything(), SIZE)
    x, y = pictures(5).split([3, 2])
    first, second = pipe.draw(3, 0.9, rng(1)), pipe.draw(2, 0.9, rng(2))
    both = pipe.apply(torch.cat([x, y]), AugmentParameters.joined([first, second]))
    apart = torch.cat([pipe.apply(x, first), pipe.apply(y, second)])
    torch.testing.assert_close(both, apart, rtol=0, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    size=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    p=st.sampled_from([0.1, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_is_affine(size: tuple[int, int], p: float, seed: int) -> None:
    pipe = AugmentPipe(everything(), size)
    drawn = pipe.draw(3, p, rng(seed))
    x, y = torch.randn(2, 3, 3, *size, generator=rng(seed), dtype=torch.float64)
    mixed = pipe.apply(0.3 * x + 0.7 * y, drawn)
    torch.testing.assert_close(mixed, 0.3 * pipe.apply(x, drawn) + 0.7 * pipe.apply(y, drawn))


def test_gradient_is_the_adjoint_of_the_geometry() -> None:
    drawn = AugmentPipe(everything(), SIZE).draw(6, 0.5, rng())
    x, y = torch.randn(2, 6, 3, *SIZE, generator=rng(1), dtype=torch.float64)
    x.requires_grad_()
    forward = warped(x, drawn.geometry.double())
    (adjoint,) = torch.autograd.grad(forward, x, y)
    there, back = ((a * b).sum((1, 2, 3)) for a, b in ((forward, y), (x, adjoint)))
    torch.testing.assert_close(there, back)


def test_first_and_second_derivatives() -> None:
    size = (5, 4)
    pipe = AugmentPipe(everything(), size)
    drawn = pipe.draw(4, 0.5, rng(3))
    assert touched(drawn).any()
    x = torch.randn(4, 3, *size, generator=rng(4), dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: pipe.apply(x, drawn), (x,), fast_mode=True)
    assert gradgradcheck(lambda x: pipe.apply(x, drawn).sin(), (x,), fast_mode=True)


def test_a_gradient_penalty_through_the_pipe_reaches_the_weights() -> None:
    pipe = AugmentPipe(everything(), SIZE)
    drawn = pipe.draw(4, 1.0, rng())
    weights = torch.randn(3, generator=rng(1)).requires_grad_()
    x = pictures(4).requires_grad_()
    logits = (pipe.apply(x, drawn).tanh().mean((2, 3)) * weights).sum()
    (gradient,) = torch.autograd.grad(logits, x, create_graph=True)
    gradient.square().sum().backward()
    assert weights.grad is not None and (weights.grad.abs() > 0).all()


class NoReading(TorchDispatchMode):
    """Fails where a tensor becomes a number, which on a GPU waits for all that is queued."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        aten = torch.ops.aten
        assert func not in (aten._local_scalar_dense.default, aten.nonzero.default)
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_back_from_the_device() -> None:
    config = everything()
    pipe = AugmentPipe(config, SIZE)
    x, p = pictures(4).requires_grad_(), torch.tensor(0.5)
    with NoReading():
        with pytest.raises(AssertionError):
            p.item()
        result = pipe.apply(x, pipe.draw(4, p, rng()))
        (gradient,) = torch.autograd.grad(result.square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
        adapted(p, result.sign().mean(), images=4, config=config)


def test_works_after_inference_mode() -> None:
    pipe = AugmentPipe(everything(), SIZE)
    drawn = pipe.draw(2, 1.0, rng())
    with torch.inference_mode():
        pipe.apply(pictures(2), drawn)
    x = pictures(2).requires_grad_()
    pipe.apply(x, drawn).sum().backward()
    assert x.grad is not None


def test_refuses_pictures_of_another_size_and_whole_numbers() -> None:
    pipe = AugmentPipe(everything(), SIZE)
    drawn = pipe.draw(2, 1.0, rng())
    for wrong in (pictures(3), pictures(2, (12, 16)), torch.zeros(2, 3, *SIZE, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="images"):
            pipe.apply(wrong, drawn)


def test_refuses_pictures_too_small_to_filter() -> None:
    with pytest.raises(SetupError, match="at least 4 px"):
        AugmentPipe(everything(), (8, 3))
