"""Commands about ranking: `rank` and `models`. `flows.cli.app` registers them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, as_flow, attempt, say
from flows.cli.training import Device

models = typer.Typer(
    help="List the models that may judge, or choose the one that does.", add_completion=False
)


def rank(
    model: Annotated[
        str | None, typer.Option(help="Id of a registered model; the current one otherwise.")
    ] = None,
    device: Annotated[
        Device | None, typer.Option(help="What computes; auto: a GPU where there is one.")
    ] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Score pictures without a score: by likeness to others, and by a trained discriminator."""
    from flows.settings import load

    settings = attempt(lambda: load(config))
    if device is not None:
        chosen = settings.rank.model_copy(update={"device": device.value})
        settings = settings.model_copy(update={"rank": chosen})

    def work() -> Any:
        with as_flow(settings):
            from flows.rank import rank as flow

            return flow(settings, model)

    summary = attempt(work)
    if as_json:
        say(summary.model_dump_json())
        return
    from flows.cli.tables import show_ranking

    show_ranking(summary)


@models.callback(invoke_without_command=True)
def list_models(
    context: typer.Context, config: ConfigOption = CONFIG, as_json: JsonOption = False
) -> None:
    """List the models that may judge the pictures, the one that does first."""
    if context.invoked_subcommand is not None:
        context.obj = (config, as_json)
        return
    from flows.settings import load
    from flows.trainings.models import list_models as look

    found = attempt(lambda: look(load(config)))
    if as_json:
        say(json.dumps({"models": [model.model_dump(mode="json") for model in found]}))
        return
    from flows.cli.tables import show_models

    show_models(found)


@models.command("use")
def use_model(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Its id, as `nonesuch models` has it.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let another model judge from now on; the scores by the others are kept."""
    from flows.settings import load
    from flows.trainings.models import use

    before, json_before = context.obj  # options may stand before the word `use`, too
    file = before if config == CONFIG else config
    chosen = attempt(lambda: use(load(file), model))
    if as_json or json_before:
        say(json.dumps({"model": chosen.model}))
    else:
        say(f"{chosen.model} judges from now on; what it has not scored yet: nonesuch rank")
