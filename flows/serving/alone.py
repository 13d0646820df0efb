"""Waits until a dataset is free, then has it to oneself. For runs of deployments."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from prefect import get_run_logger
from prefect.concurrency.sync import concurrency

from data_catalog import conditional
from data_catalog.catalog import Catalog
from data_catalog.errors import ConflictError
from flows.catalog import open_catalog
from flows.settings import DatasetConfig

_LOOK_EVERY: Final = 2.0  # seconds


@contextlib.contextmanager
def alone(config: DatasetConfig, purpose: str, wait: float) -> Iterator[None]:
    """Be the only one at work on the dataset while the body runs, after a wait if need be.

    Parameters
    ----------
    purpose
        Shown to whoever comes second.
    wait
        Seconds to wait for others, at most.

    Raises
    ------
    ConflictError
        If it is still in use then: names who holds it.
    """
    catalog = open_catalog(config)
    root = catalog.root
    if root.is_local or conditional.supported(root):
        with _locked(catalog, purpose, wait):
            yield
    else:
        with _limited(config, wait):
            yield


def limit_name(dataset: str) -> str:
    """Give the name of the concurrency limit of a dataset whose root has no lock."""
    return f"nonesuch-{dataset}"


@contextlib.contextmanager
def _locked(catalog: Catalog, purpose: str, wait: float) -> Iterator[None]:
    """Take the root's lock, which counts for the command line, too."""
    until = time.monotonic() + wait
    told = ""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(catalog.lock(purpose))
                break
            except ConflictError as error:
                if time.monotonic() >= until:
                    raise
                if str(error) != told:
                    told = str(error)
                    get_run_logger().info("waiting for %g s at most: %s", wait, told)
                time.sleep(_LOOK_EVERY)
        yield


@contextlib.contextmanager
def _limited(config: DatasetConfig, wait: float) -> Iterator[None]:
    """Take the dataset's slot at the server, which the command line does not know of."""
    name = limit_name(config.dataset.name)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(concurrency(name, timeout_seconds=wait, strict=True))
        except TimeoutError as error:
            raise ConflictError(
                f"{config.dataset.root} is in use: another run of this server works on it, see the "
                f"concurrency limit {name!r}; wait until it ends, then start this one again"
            ) from error
        yield
