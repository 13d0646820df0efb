"""What all commands share: options, what they say, and how errors end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

if TYPE_CHECKING:
    from flows.settings import DatasetConfig

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="Configuration file.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="End with one line of JSON.")]
CONFIG: Final = Path("nonesuch.toml")

Result = TypeVar("Result")


def complain(text: str) -> None:
    """Write to standard error."""
    sys.stderr.write(text + "\n")


def say(text: str) -> None:
    """Write to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def greet(as_json: bool) -> Callable[[str, str], None]:
    """Give who says where a page is: its address to programs, words to people."""

    def tell(address: str, words: str) -> None:
        say(json.dumps({"address": address}) if as_json else words)

    return tell


def attempt(work: Callable[[], Result]) -> Result:
    """Do `work`; turn our own errors into a message and an exit code."""
    from curation.errors import CurationError
    from data_catalog.errors import CatalogError
    from flows.compute.settings import ComputeError
    from flows.settings import ConfigError
    from review_ui.errors import ReviewError
    from training.errors import SetupError, TrainingError

    try:
        return work()
    except (ConfigError, SetupError) as error:
        complain(f"error: {error}")
        raise typer.Exit(2) from error
    except (
        CatalogError,
        ComputeError,
        CurationError,
        ReviewError,
        TrainingError,
        OSError,
    ) as error:
        complain(f"error: {error}")
        raise typer.Exit(1) from error
    except Exception as error:
        if not _is_of_server(error):
            raise
        complain(
            f"error: the Prefect server at {_page()} went away: {error or type(error).__name__}; "
            "the same command goes on from here"
        )
        raise typer.Exit(1) from error


@contextlib.contextmanager
def as_flow(config: DatasetConfig) -> Iterator[None]:
    """Show the progress of a flow that runs in the body, and have the dataset's server know of it.

    Import the flow in the body: what is imported with it decides for a server.
    """
    from flows.server import join

    untold = join(config)
    if untold is not None:
        complain(untold)
    from prefect import tags

    from flows import progress

    # Of a server that is gone we tell ourselves, once.
    logging.getLogger("prefect._internal.concurrency").setLevel(logging.CRITICAL)
    # By the tag, the automation of `nonesuch up` knows whose signs of life it waits for.
    with progress.watch(), tags(config.dataset.name):
        yield


def _is_of_server(error: Exception) -> bool:
    """Tell whether Prefect could not reach the server, which nobody here can mend."""
    if not _page():
        return False
    httpx = sys.modules.get("httpx")
    if httpx is not None and isinstance(error, httpx.TransportError):
        return True
    return isinstance(error, RuntimeError) and "Failed to reach API" in str(error)


def _page() -> str:
    from flows.server import API, page_of

    return page_of(os.environ.get(API, ""))
