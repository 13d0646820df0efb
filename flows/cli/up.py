"""The command `nonesuch up`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from flows.cli.common import CONFIG, ConfigOption, attempt, complain, say


def up(
    config: ConfigOption = CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Say all in lines of JSON.")] = False,
) -> None:
    """Start Prefect's server, the schedules and triggers, and the review page; keep them alive."""
    import asyncio

    from flows.settings import load
    from flows.up.command import keep_up
    from flows.up.ports import UpError

    settings = attempt(lambda: load(config))
    work = keep_up(
        settings, config, _tell_in_json if as_json else _tell, in_private=sys.stdout.isatty()
    )
    try:
        attempt(lambda: asyncio.run(work))
    except UpError as error:
        complain(f"error: {error}")
        raise typer.Exit(1) from error


def _tell(words: str, _facts: Mapping[str, Any]) -> None:
    _say(f"{datetime.now():%H:%M:%S} {words}")


def _tell_in_json(_words: str, facts: Mapping[str, Any]) -> None:
    _say(json.dumps(facts))


def _say(text: str) -> None:
    """Say it, if anybody is there: when the terminal is gone, all parts still end in order."""
    with contextlib.suppress(OSError):
        say(text)
