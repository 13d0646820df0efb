from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from torch import nn

from training.errors import DivergedError
from training.watch.diversity import Spread
from training.watch.health import Health, non_finite
from training.watch.journal import Tick

TICK_NIMG = 4000


def a_tick(
    number: int,
    *,
    sign: float = 0.6,
    p: float = 0.2,
    loss_G: float = 1.0,
    loss_D: float = 1.0,
    nimg: int = TICK_NIMG,
    **losses: float,
) -> Tick:
    return Tick(
        cur_nimg=number * nimg,
        kimg=number * nimg / 1000,
        tick=number,
        steps=number * 125,
        seconds=160.0,
        sec_per_kimg=40.0,
        images_per_sec=25.0,
        data_wait_share=0.0,
        gpu_memory_gb=None,
        ada_p=p,
        d_sign_real=sign,
        r1_gamma=1.0,
        G_lr=0.0025,
        D_lr=0.0025,
        losses={"loss_G": loss_G, "loss_D": loss_D, **losses},
    )


def watch(
    health: Health,
    ticks: Iterable[Tick],
    pictures: Callable[[int], Spread | None] = lambda _: None,
) -> tuple[list[str], DivergedError | None]:
    """Give all warnings, and the diagnosis if it was stopped."""
    warnings: list[str] = []
    for record in ticks:
        try:
            warnings += health.check(record, pictures=pictures(record.tick))
        except DivergedError as error:
            return warnings, error
    return warnings, None


# Trainings that are sound


def sound(n: int) -> list[Tick]:
    """D ahead at first, then held at the target by ADA; losses that wander; R1 that grows."""
    rng = np.random.default_rng(1)
    return [
        a_tick(
            i,
            sign=float(np.clip(0.6 + 0.4 * math.exp(-i / 10) + rng.normal(0, 0.02), -1, 1)),
            p=min(i * TICK_NIMG / 500_000, 0.55),
            loss_G=float(0.7 + 2 * math.exp(-i / 20) + rng.gamma(2, 0.3)),
            loss_D=float(0.4 + rng.gamma(2, 0.3)),
            r1=0.0005 * (1 + i),
            path_length=float(rng.gamma(1, 0.5)),
        )
        for i in range(1, n + 1)
    ]


def test_sound_training_raises_no_word() -> None:
    grown = [Spread(60 * (1 - math.exp(-i / 30)), 60) for i in range(601)]
    assert watch(Health(0.8), sound(600), lambda i: grown[i]) == ([], None)


def test_overfitting_without_augmentation_goes_on() -> None:
    """A small set by heart: D sure of nearly all reals, the loss of G grows to some nats."""
    ticks = [a_tick(i, sign=1 - 0.3 / i, p=0, loss_G=1 + i / 100) for i in range(1, 600)]
    assert watch(Health(None), ticks)[1] is None


def test_relativistic_logits_may_drift() -> None:
    """Only differences count there: D's sign says nothing, losses stay small."""
    ticks = [
        a_tick(i, sign=1.0, p=0, loss_G=0.7, loss_D=0.6, real_score=3.0 * i) for i in range(300)
    ]
    assert watch(Health(None), ticks) == ([], None)


def test_hard_start_is_let_pass() -> None:
    ticks = [a_tick(i, sign=1.0, p=0.0, loss_G=2 + 2.0 * i, nimg=1000) for i in range(1, 30)]
    ticks += [a_tick(i, sign=0.8, p=0.1, loss_G=2.0, nimg=1000) for i in range(30, 90)]
    assert watch(Health(None), ticks)[1] is None


def test_single_spikes_are_warned_of_at_most() -> None:
    ticks = [a_tick(i, loss_D=500.0 if i % 40 == 0 else 1.0) for i in range(1, 400)]
    warnings, diagnosis = watch(Health(0.8), ticks)
    assert diagnosis is None
    assert warnings[0].startswith("at 160.0 kimg loss_D has jumped to 500, from 1 and less.")


def test_generator_that_starts_with_equal_pictures_is_given_time() -> None:
    slow = [Spread(60 * min((i / 200) ** 3, 1), 60) for i in range(400)]
    warnings, diagnosis = watch(Health(0.8), sound(399), lambda i: slow[i])
    assert (warnings, diagnosis) == ([], None)


def test_pictures_that_never_varied_are_warned_of_but_go_on() -> None:
    warnings, diagnosis = watch(Health(0.8), sound(400), lambda _: Spread(0.5, 60))
    assert diagnosis is None
    assert "nearly all alike" in warnings[0]
    assert len(warnings) < 15


# Trainings that are not


def test_one_tick_that_is_not_finite_is_warned_of_and_two_end_it() -> None:
    health = Health(0.8)
    (warning,) = health.check(a_tick(1, loss_G=math.nan))
    assert "not finite: loss_G" in warning
    assert health.check(a_tick(2)) == []
    health.check(a_tick(3, r1=math.inf))
    with pytest.raises(DivergedError, match="not finite: r1, for 2 ticks"):
        health.check(a_tick(4, r1=math.inf))


def test_weights_that_are_not_finite_end_it_at_once() -> None:
    named = [f"G.synthesis.{i}" for i in range(7)]
    with pytest.raises(DivergedError, match=r"weights .*G\.synthesis\.4 and 2 more.*live\.json"):
        Health(0.8).check(a_tick(1), damaged=named)


def test_lasting_explosion_ends_it() -> None:
    ticks = sound(100) + [a_tick(101 + i, loss_G=1e4) for i in range(10)]
    warnings, diagnosis = watch(Health(0.8), ticks)
    assert len(warnings) == 1
    assert diagnosis is not None
    assert "loss_G has jumped to 1e+04" in str(diagnosis)
    assert "for 5 ticks" in str(diagnosis)


@pytest.mark.parametrize(("p_max", "p"), [(None, 0.0), (0.8, 0.8)])
def test_d_that_wins_for_good_ends_it(p_max: float | None, p: float) -> None:
    ticks = sound(50) + [a_tick(50 + i, sign=0.999, p=p, loss_G=2 + 0.5 * i) for i in range(1, 200)]
    warnings, diagnosis = watch(Health(p_max), ticks)
    assert "D wins" in warnings[0]
    assert diagnosis is not None
    assert "r1_gamma" in str(diagnosis)
    assert "live.json" in str(diagnosis)


def test_d_is_not_said_to_win_while_ada_can_hold_it() -> None:
    ticks = [a_tick(i, sign=1.0, p=0.5, loss_G=2 + 0.2 * i) for i in range(1, 200)]
    assert watch(Health(0.8), ticks) == ([], None)


def test_lost_variety_is_warned_of_and_ends_it() -> None:
    lost = [Spread(40.0 if i < 100 else 1.0, 60) for i in range(201)]
    warnings, diagnosis = watch(Health(0.8), sound(200), lambda i: lost[i])
    assert len(warnings) == 1
    assert diagnosis is not None
    assert "they differ by 1 of 255, real ones by 60, for 26 ticks" in str(diagnosis)


def test_variety_is_judged_only_where_pictures_were_taken() -> None:
    """Every tenth tick has a grid; those between neither count nor pardon."""

    def taken(i: int) -> Spread | None:
        return Spread(40.0 if i < 100 else 1.0, 60) if i % 10 == 0 else None

    assert watch(Health(0.8), sound(330), taken)[1] is None
    assert watch(Health(0.8), sound(350), taken)[1] is not None


# State


@pytest.mark.parametrize("at", [1, 60, 101, 103])
def test_resumed_watch_says_the_same(at: int) -> None:
    ticks = sound(100) + [a_tick(101 + i, loss_G=1e4) for i in range(10)]
    lost = [Spread(40.0 if i < 80 else 1.0, 60) for i in range(120)]
    whole = watch(Health(0.8), ticks, lambda i: lost[i])
    first = Health(0.8)
    before, _ = watch(first, ticks[:at], lambda i: lost[i])
    second = Health(0.8)
    second.restore(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    after, diagnosis = watch(second, ticks[at:], lambda i: lost[i])
    assert whole[0] == before + after
    assert str(whole[1]) == str(diagnosis)


def test_state_without_a_word_is_json_even_after_nan() -> None:
    health = Health(0.8)
    health.check(a_tick(1, loss_G=math.nan))
    json.dumps(health.state(), allow_nan=False)


# Tensors


def test_names_tensors_that_are_not_finite() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    assert non_finite(module.named_parameters()) == []
    with torch.no_grad():
        module[0].bias[1] = torch.inf
        module[1].weight[2, 0] = torch.nan
    assert non_finite(module.named_parameters()) == ["0.bias", "1.weight"]


def test_counters_and_nothing_at_all_are_finite() -> None:
    assert non_finite([("steps", torch.tensor(3)), ("flag", torch.tensor(True))]) == []
    assert non_finite([]) == []
