"""What tests of all packages share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from tests.object_store import ObjectStore, StoreMissingError, object_store

# Pure tests must not start a Prefect server by accident; flow tests start one on purpose.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# Tests run in as many processes as there are processors: threads of torch, which wait by spinning,
# would take them from each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How fast a machine is decides no test.
settings.register_profile("nonesuch", deadline=None)
settings.load_profile("nonesuch")

Pixels = NDArray[np.uint8]


@pytest.fixture
def photograph() -> Pixels:
    """A picture with colour, texture and edges, 240×180 px, the same every time."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:240, 0:180]
    base = np.stack([rows % 256, (rows + columns) % 256, (255 - columns) % 256], axis=-1).astype(
        np.int16
    )
    noise = rng.integers(-8, 9, base.shape, dtype=np.int16)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def real_photographs() -> list[Path]:
    """The clothing photographs; skips where they are not at hand."""
    default = Path(__file__).parents[2] / "shared" / "data" / "clothing"
    folder = Path(os.environ.get("NONESUCH_REAL_DATA", default)) / "images"
    if not folder.is_dir():
        pytest.skip(f"no real photographs at {folder}; set NONESUCH_REAL_DATA to their folder")
    return sorted(folder.glob("*.jpg"))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real object store; started by the first test that needs it."""
    try:
        with object_store(tmp_path_factory.mktemp("s3")) as store:
            yield store
    except StoreMissingError as missing:
        if os.environ.get("NONESUCH_REQUIRE_ALL"):  # as CI has it: nothing may be left out
            raise
        pytest.skip(str(missing))
