"""Runs that are really trained, for a few steps, for tests of what is done with them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.making import make_version

ITEMS = 21


@dataclass(frozen=True)
class Trained:
    """Folders of runs, and of the version that they were trained on."""

    version: Path
    plain: Path
    conditional: Path
    folds: tuple[Path, ...]

    def copy_of(self, run: Path, folder: Path) -> Path:
        """A copy, for tests that change it."""
        return shutil.copytree(run, folder / run.name)


def settings(**data: Any) -> dict[str, Any]:
    return {
        "network": {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8},
        "augment": {"mode": "off"},
        "optimizer": {"batch": 4},
        "data": data,
        "run": {
            "total_kimg": 0.032,
            "tick_kimg": 0.016,
            "snapshot_ticks": 1,
            "grid": 4,
            "device": "cpu",
        },
    }


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Runs on an inverted version: one of all pictures, one with classes, two of two folds."""
    from training.request import Request
    from training.session import train

    root = tmp_path_factory.mktemp("trained")
    version = make_version(
        root / "version", ITEMS, inverted=True, labels=("boot", "shoe", None), tags=(("pov",), ())
    )

    def run(name: str, **data: Any) -> Path:
        train(Request(str(version), root / name, preset="tiny", overrides=settings(**data)))
        return root / name

    folds = tuple(run(f"fold{i}", fold=f"{i}/2") for i in (1, 2))
    return Trained(version, run("plain"), run("conditional", conditional=True), folds)
