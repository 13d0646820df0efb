"""An explorer that really serves: real models, trained for a few steps."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser

from flows.explore.studio import ModelStudio
from flows.settings import DatasetConfig, load
from review_ui.explore.app import create_explorer
from review_ui.explore.desk import open_explore_desk
from review_ui.serve import known_hosts
from review_ui.settings import ReviewConfig
from review_ui.store.database import open_database
from tests.review_ui.browser import Windows
from tests.review_ui.site import Client, served_app
from tests.training.conftest import settings
from tests.training.data.making import make_version


@dataclass
class Explorer:
    """A page that serves.

    Attributes
    ----------
    models : Path
        Folder of its runs, of this test alone: `plain`, and `classes` with three classes.
    """

    address: str
    models: Path
    studio: ModelStudio

    def client(self, name: str = "", token: str | None = None) -> Client:
        """Give somebody, logged in where they have a name."""
        client = Client(self.address)
        if name:
            assert client.log_in(name, token).status == 200
        return client


Open = Callable[..., Explorer]


@pytest.fixture(scope="session")
def trained_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two runs, 16 × 12 px, on an inverted version."""
    from training.request import Request
    from training.session import train

    root = tmp_path_factory.mktemp("explored")
    version = make_version(root / "version", 21, inverted=True, labels=("boot", "shoe", None))
    for name, data in (("plain", {}), ("classes", {"conditional": True})):
        overrides = settings(**data)
        train(Request(str(version), root / "models" / name, preset="tiny", overrides=overrides))
    return root / "models"


@pytest.fixture
def open_explorer(trained_models: Path, tmp_path: Path) -> Iterator[Open]:
    """Serve the models until the test ends; `runs=()` for none."""
    with contextlib.ExitStack() as stack:

        def begin(runs: tuple[str, ...] = ("plain", "classes"), **review: Any) -> Explorer:
            models = tmp_path / "data" / "models"
            for run in runs:
                shutil.copytree(trained_models / run, models / run)
            config = configured(tmp_path)
            asked = ReviewConfig.model_validate({"port": 0, **review})
            studio = ModelStudio(config, torch.device("cpu"))
            database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
            desk = open_explore_desk("boots", asked, database, studio)
            app = create_explorer(desk, known_hosts(asked))
            return Explorer(stack.enter_context(served_app(app)), models, studio)

        yield begin


def configured(folder: Path) -> DatasetConfig:
    """Write and load a configuration."""
    file = folder / "nonesuch.toml"
    file.write_text(
        '[dataset]\nname = "boots"\nroot = "data"\n\n[[sources]]\nkind = "folder"\npath = "none"\n'
    )
    return load(file)


@pytest.fixture
def windows(browser: Browser, open_explorer: Open) -> Iterator[Windows]:
    """Open windows; the test fails if a page has errors. They close before the server does."""
    windows = Windows(browser)
    yield windows
    windows.close()
    assert windows.problems == []
