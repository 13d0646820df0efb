from __future__ import annotations

from typing import Any

import pytest

from training.config import TrainingConfig
from training.presets import known_keys, resolve
from training.runs.record import VersionFacts
from training.runs.resume import FREE, LIVE, changes, compatible, resumed, same_version


def config(**overrides: Any) -> TrainingConfig:
    return resolve("tiny", overrides, size=(48, 64), gpus=1)


SAVED = config()


def test_the_same_again_is_compatible() -> None:
    assert compatible(SAVED, config()) == changes(SAVED, config()) == []
    assert resumed(SAVED, config()) == SAVED


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("network", "z_dim", 32),
        ("network", "mbstd_group", 2),
        ("loss", "kind", "relativistic"),
        ("loss", "pl_weight", 2.0),
        ("augment", "mode", "off"),
        ("optimizer", "batch", 16),
        ("optimizer", "beta2", 0.9),
        ("optimizer", "ema_kimg", 2.0),
        ("data", "tags", ("pov",)),
        ("data", "mirror", True),
        ("data", "fold", "1/5"),
        ("run", "seed", 1),
    ],
)
def test_what_would_make_it_another_run_is_named(section: str, key: str, value: Any) -> None:
    asked = config(**{section: {key: value}})
    told = compatible(SAVED, asked)
    was = getattr(getattr(SAVED, section), key)
    message = next(text for text in told if text.startswith(f"`{section}.{key}` "))
    assert f"is {was!r} in this run and cannot change, got {value!r}" in message
    assert "--run" in message
    assert "--transfer" in message
    assert getattr(getattr(resumed(SAVED, asked), section), key) == was


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("run", "total_kimg", 200.0),
        ("run", "tick_kimg", 2.0),
        ("run", "snapshot_ticks", 1),
        ("run", "keep_last", 9),
        ("run", "keep_every", 0),
        ("run", "grid", 16),
        ("run", "log_steps", True),
        ("run", "metrics", ("fid",)),
        ("run", "device", "cpu"),
        ("data", "workers", 4),
        ("speed", "compile", True),
        ("speed", "tf32", False),
        ("network", "half", "bfloat16"),
        ("optimizer", "batch_gpu", 4),
    ],
)
def test_what_may_change_goes_on_as_asked(section: str, key: str, value: Any) -> None:
    asked = config(**{section: {key: value}})
    was = getattr(getattr(SAVED, section), key)
    assert compatible(SAVED, asked) == []
    assert changes(SAVED, asked) == [f"{section}.{key}: {was} → {value}"]
    assert resumed(SAVED, asked) == asked


def test_rates_and_gamma_are_left_to_the_file() -> None:
    asked = config(optimizer={"G_lr": 0.1}, loss={"r1_gamma": 3.0})
    assert compatible(SAVED, asked) == []
    told = changes(SAVED, asked)
    assert len(told) == 2
    assert all("live.json" in message for message in told)
    assert "change `r1_gamma` there" in "".join(told)
    assert resumed(SAVED, asked) == SAVED


def test_the_name_of_a_preset_alone_is_no_reason() -> None:
    renamed = SAVED.model_copy(update={"preset": "sneaker"})
    assert compatible(SAVED, renamed) == []
    assert resumed(SAVED, renamed).preset == "sneaker"


def test_all_that_is_free_is_a_setting() -> None:
    assert set(known_keys()) >= FREE | LIVE


FACTS = VersionFacts(
    dataset="/a", version=3, version_hash="abc", inverted=True, size=(48, 64), labels=("x",)
)


def test_a_version_may_move_but_not_change() -> None:
    assert same_version(FACTS, FACTS.model_copy(update={"dataset": "s3://b", "version": 9})) == []
    for key, value in {
        "version_hash": "def",
        "inverted": False,
        "size": (24, 32),
        "labels": (),
    }.items():
        (message,) = same_version(FACTS, FACTS.model_copy(update={key: value}))
        assert (
            f"`{key}` of the data is {getattr(FACTS, key)!r} in this run, got {value!r}" in message
        )
