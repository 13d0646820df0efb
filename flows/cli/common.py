"""What all commands share: options, what they say, and how errors end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

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
