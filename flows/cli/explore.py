"""`nonesuch explore`. `flows.cli.app` registers it."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, attempt, greet
from flows.cli.training import Device

PORT: Final = 8485
"""Beside that of the review page."""


def explore(
    host: Annotated[str, typer.Option(help="Address to listen at; else `review.host`.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = PORT,
    device: Annotated[
        Device | None, typer.Option(help="What computes; auto: a GPU where there is one.")
    ] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Open the explorer: look into trained models, edit their pictures, project your own."""

    def work() -> None:
        from flows.review.command import listening_at
        from flows.settings import load
        from flows.trainings.launch import require_packages

        settings = listening_at(load(config), host, port)
        require_packages()
        from flows.explore.command import serve

        chosen = "auto" if device is None else device.value
        serve(settings, chosen, greet(as_json), in_private=sys.stdout.isatty())

    attempt(work)
