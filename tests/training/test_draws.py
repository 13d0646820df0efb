import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.draws import Latents, Part, draw_direction, draw_latents, generator

CPU = torch.device("cpu")


def draw(part: Part, *, step: int = 3, mixing: float = 0.9, n: int = 12) -> Latents:
    return draw_latents(
        n,
        part,
        z_dim=5,
        num_ws=7,
        noise_sizes=[(2, 3), (4, 6)],
        mixing=mixing,
        classes=torch.tensor([0, 0, 0, 2]),
        rng=generator(CPU, 1, step, "G"),
    )


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_parts_are_the_rows_of_the_whole(parts: int) -> None:
    whole = draw(Part(0, 1))
    for index in range(parts):
        some = draw(Part(index, parts))
        assert torch.equal(some.z, whole.z[index::parts])
        assert torch.equal(some.z_mix, whole.z_mix[index::parts])
        assert torch.equal(some.cutoff, whole.cutoff[index::parts])
        assert some.labels is not None and whole.labels is not None
        assert torch.equal(some.labels, whole.labels[index::parts])
        for mine, all_ in zip(some.noises, whole.noises, strict=True):
            assert torch.equal(mine, all_[index::parts])
        rng = generator(CPU, 0, 0, "x")
        direction = draw_direction(12, Part(index, parts), (4, 4), rng)
        again = draw_direction(12, Part(0, 1), (4, 4), generator(CPU, 0, 0, "x"))
        assert torch.equal(direction, again[index::parts])


def test_draws_depend_on_seed_step_and_phase_alone() -> None:
    torch.manual_seed(0)
    first = draw(Part(0, 1))
    torch.rand(100)
    assert torch.equal(first.z, draw(Part(0, 1)).z)
    assert not torch.equal(first.z, draw(Part(0, 1), step=4).z)
    numbers = {
        torch.rand(1, generator=generator(CPU, seed, step, phase)).item()
        for seed in range(3)
        for step in range(3)
        for phase in ("G", "D", "G_reg")
    }
    assert len(numbers) == 27


@given(st.integers(0, 1000))
def test_mixing_starts_after_the_first_layer(step: int) -> None:
    cutoff = draw(Part(0, 1), step=step, mixing=1.0, n=64).cutoff
    assert cutoff.min() >= 1
    assert cutoff.max() <= 6
    assert (draw(Part(0, 1), step=step, mixing=0.0).cutoff == 7).all()


def test_mixing_has_its_probability_and_labels_their_frequencies() -> None:
    drawn = draw(Part(0, 1), mixing=0.25, n=20_000)
    assert (drawn.cutoff < 7).float().mean().item() == pytest.approx(0.25, abs=0.015)
    assert drawn.labels is not None
    assert (drawn.labels == 2).float().mean().item() == pytest.approx(0.25, abs=0.015)
    assert not (drawn.labels == 1).any()


def test_directions_have_the_norm_of_one_pixel() -> None:
    direction = draw_direction(200, Part(0, 1), (8, 6), generator(CPU, 0, 0, "x"))
    assert direction.square().sum(dim=(1, 2, 3)).mean().item() == pytest.approx(3, rel=0.05)
