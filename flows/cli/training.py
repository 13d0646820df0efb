"""Commands about trainings: `train`, `runs`, `metrics`. `flows.cli.app` registers them."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, attempt, complain, say


class Device(StrEnum):
    """What computes."""

    CUDA = "cuda"
    CPU = "cpu"
    AUTO = "auto"


def train(
    version: Annotated[
        int | None, typer.Option(min=0, help="Published version; 0 is the newest.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The newest version of this split, not of the whole set.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Settings to start from.")] = None,
    run: Annotated[
        str | None, typer.Option(help="Name of the run; one that is there goes on.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="How many train together; 0 is all there are.")
    ] = None,
    device: Annotated[
        Device | None, typer.Option(help="What computes; auto: a GPU where there is one.")
    ] = None,
    kimg: Annotated[float | None, typer.Option(help="Thousand images to train on, in all.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step, over all GPUs.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only pictures with this tag; repeatable.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Only pictures with this label; repeatable.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option(help="Leave out one part of the pictures, e.g. 2/5.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Train so many runs, each without another part.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. loss.r1_gamma=2."),
    ] = None,
    transfer: Annotated[
        Path | None, typer.Option(help="Snapshot, or run's folder, to take weights from.")
    ] = None,
    freeze_d: Annotated[
        int | None, typer.Option(help="Highest resolutions of D that a transfer leaves.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show settings and cost, and end.")
    ] = False,
    deployment: Annotated[
        bool, typer.Option("--deployment", help="Have the running `nonesuch up` do it, and end.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Train a GAN on a published version; run again, it goes on from the latest snapshot."""
    from flows.settings import load
    from flows.trainings import launch

    if fold is not None and folds is not None:
        complain("error: --fold and --folds do not go together; give one of them")
        raise typer.Exit(2)
    if deployment and (dry_run or folds is not None):
        complain("error: --deployment goes neither with --folds nor with --dry-run; leave one out")
        raise typer.Exit(2)
    short = {
        "run.device": None if device is None else device.value,
        "run.total_kimg": kimg,
        "run.seed": seed,
        "optimizer.batch": batch,
        "optimizer.freeze_d": freeze_d,
        "data.tags": tag or None,
        "data.labels": label or None,
        "data.fold": fold,
    }
    given = {key: value for key, value in short.items() if value is not None}

    def work() -> None:
        # The flow of this name does the same; called plainly, the start of Prefect is saved.
        options = launch.TrainOptions(
            version=version,
            split=split,
            preset=preset,
            run=run,
            gpus=gpus,
            transfer=None if transfer is None else transfer.absolute(),
            settings=given | launch.parse_settings(setting or []),
        )
        settings = load(config)
        if deployment:
            _show_order(_order(settings, options), as_json)
        elif dry_run:
            _show_plan(settings, options, folds, as_json)
        elif folds is None:
            _show_end(launch.train_run(settings, options), as_json)
        else:
            for summary in launch.train_folds(settings, options, folds):
                _show_end(summary, as_json)

    _attempt(work)


def runs(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the runs of trainings: how far each has come, and whether it is at work."""
    from flows.settings import load
    from flows.trainings.runs import models_folder, summaries

    settings = attempt(lambda: load(config))
    folder = attempt(lambda: models_folder(settings))
    found = attempt(lambda: summaries(settings))
    if as_json:
        rows = [run.model_dump(mode="json") for run in found]
        say(json.dumps({"folder": str(folder), "runs": rows}))
        return
    from flows.cli.tables import show_runs

    show_runs(found, str(folder))


def metrics(
    run: Annotated[str, typer.Argument(help="Name of the run, or the path of its folder.")],
    snapshot: Annotated[
        str | None, typer.Option(help="Name of a snapshot; the newest otherwise.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Which one; repeatable. Otherwise the usual ones, see the docs."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Pictures that are generated.")] = None,
    inception: Annotated[
        Path | None, typer.Option(help="File with the weights of Inception.")
    ] = None,
    lpips: Annotated[Path | None, typer.Option(help="File with the weights of LPIPS.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of what is generated.")] = 0,
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="Draw the nearest real pictures, too.")
    ] = False,
    device: Annotated[
        Device | None, typer.Option(help="What computes; auto: a GPU where there is one.")
    ] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Measure how good a snapshot's pictures are, and how far they are copies."""
    from flows.settings import load
    from flows.trainings import team
    from flows.trainings.launch import EndedError, plan_metrics

    asked: list[tuple[str, object]] = [
        ("--snapshot", snapshot),
        *(("--metric", name) for name in metric or ()),
        ("--count", count),
        ("--inception", inception),
        ("--lpips", lpips),
        ("--batch", batch),
        ("--seed", seed),
        ("--device", device),
    ]
    options = [part for key, value in asked if value is not None for part in (key, str(value))]
    options += ["--neighbours"] if neighbours else []
    options += ["--json"] if as_json else []

    def work() -> None:
        start = plan_metrics(load(config), run, options)
        code = team.run(start.arguments, start.environment)
        if code:
            raise EndedError(start.run, code)

    _attempt(work)


def _attempt(work: Callable[[], None]) -> None:
    """Attempt work of which a process does a part, which has said what went wrong in it."""
    from flows.trainings.launch import EndedError

    def told() -> int:
        try:
            work()
        except EndedError as error:
            return error.code
        return 0

    code = attempt(told)
    if code:
        raise typer.Exit(code)


def _order(settings: Any, options: Any) -> Any:
    """Have the training started at the server that runs; give its id, name and address."""
    from flows.server import api_of
    from flows.settings import ConfigError

    api = api_of(settings)
    if api is None:
        raise ConfigError(
            f"no Prefect server runs for the dataset {settings.dataset.name!r}; start one with "
            "`nonesuch up`, or train without --deployment"
        )
    from flows.loop.starts import Starter

    told = options.model_dump(mode="json", exclude_defaults=True)
    if options.run and "/" in options.run:  # the server's folder is another one
        told["run"] = str(Path(options.run).expanduser().absolute())
    with Starter(api, settings.dataset.name) as starter:
        return starter.start("train", told)


def _show_order(order: Any, as_json: bool) -> None:
    if as_json:
        say(json.dumps({"id": order.id, "name": order.name, "address": order.address}))
    else:
        say(f"{order.name} is started; it is seen at\n{order.address}\nand by: nonesuch runs")


def _show_plan(settings: Any, options: Any, folds: int | None, as_json: bool) -> None:
    from flows.trainings import launch

    if folds is not None:
        each = launch.fold_options(settings, options, folds)
        complain(f"{folds} runs like this one: {', '.join(Path(o.run or '').name for o in each)}")
        options = each[0]
    code = launch.show_plan(settings, options, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _show_end(summary: Any, as_json: bool) -> None:
    if as_json:
        say(summary.model_dump_json())
        return
    snapshot = f", snapshot {summary.newest_snapshot}" if summary.newest_snapshot else ""
    say(
        f"{summary.name}: {summary.status} at {summary.kimg:g} of {summary.total_kimg:g} kimg"
        f"{snapshot}\n{summary.path}"
    )
