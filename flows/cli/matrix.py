"""The command `matrix`: trainings side by side, and runs compared. `flows.cli.app` registers it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from flows.cli.common import CONFIG, ConfigOption, JsonOption, attempt, complain, say


def matrix(
    run: Annotated[
        list[str] | None,
        typer.Argument(help="With --compare: these runs, by name or path, and no others."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="The newest version of this split; repeatable.")
    ] = None,
    version: Annotated[
        list[int] | None, typer.Option(min=1, help="This published version; repeatable.")
    ] = None,
    preset: Annotated[
        list[str] | None, typer.Option(help="Settings to start from; repeatable.")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Of everything that is drawn; repeatable.")
    ] = None,
    kimg: Annotated[float | None, typer.Option(help="Thousand images of each run, in all.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. loss.r1_gamma=2."),
    ] = None,
    at_once: Annotated[
        int | None,
        typer.Option(min=0, help="Trainings side by side; 0 is one a GPU, or one on the CPU."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Only compare the runs; train none.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which runs it would be, and end.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Train every version with every preset and seed, side by side; compare what came out."""
    if run and not compare:
        complain("error: RUN goes with --compare; a matrix names its runs itself")
        raise typer.Exit(2)
    from flows.settings import load
    from flows.trainings.launch import parse_settings
    from flows.trainings.matrix import MatrixOptions, plan_matrix

    settings = attempt(lambda: load(config))
    if run:
        _compare_runs(settings, run, as_json)
        return

    def planned() -> Any:
        given = {} if kimg is None else {"run.total_kimg": kimg}
        options = MatrixOptions(
            splits=tuple(split or ()),
            versions=tuple(version or ()),
            presets=tuple(preset or ()),
            seeds=tuple(seed or ()),
            at_once=at_once,
            settings=given | parse_settings(setting or []),
        )
        return plan_matrix(settings, options)

    plan = attempt(planned)
    if dry_run:
        _show_plan(settings, plan, as_json)
        return
    failed = {} if compare else _train(settings, plan)
    _compare_matrix(settings, plan, failed, as_json)
    if failed:
        raise typer.Exit(1)


def _train(settings: Any, plan: Any) -> dict[str, str]:
    """Train; tell which runs failed, and why."""
    from flows.cli.board import board
    from flows.trainings.matrix import Work, log_of

    def work() -> Any:
        with board() as tell:
            return Work(settings, plan).run(tell)

    failed = [state for state in attempt(work) if state.problem]
    for state in failed:
        complain(f"error: {state.cell.name}: {state.problem}\n  see {log_of(state.cell.run)}")
    return {state.cell.name: state.problem for state in failed}


def _show_plan(settings: Any, plan: Any, as_json: bool) -> None:
    from flows.cli.board import show_comparison
    from flows.trainings.comparison import table_of
    from flows.trainings.matrix import look

    rows = attempt(lambda: table_of(look(settings, plan)))
    if as_json:
        runs = [row.model_dump(mode="json") for row in rows]
        say(json.dumps({"runs": runs, "at_once": len(plan.slots)}))
        return
    show_comparison(rows)
    say(f"{len(rows)} runs, {min(len(plan.slots), len(rows))} at once")


def _compare_matrix(settings: Any, plan: Any, failed: dict[str, str], as_json: bool) -> None:
    from flows.trainings.comparison import compare
    from flows.trainings.matrix import look

    _show(attempt(lambda: compare(settings, look(settings, plan, failed))), as_json)


def _compare_runs(settings: Any, names: list[str], as_json: bool) -> None:
    from flows.trainings.comparison import compare, find_runs

    _show(attempt(lambda: compare(settings, find_runs(settings, names))), as_json)


def _show(comparison: Any, as_json: bool) -> None:
    if as_json:
        say(comparison.model_dump_json())
        return
    from flows.cli.board import show_comparison

    show_comparison(comparison.runs, comparison.page)
