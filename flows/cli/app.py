"""The command line. Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration.

Imports are late, so that `--help` is quick, and that worker processes, which import the main
module again, do not load Prefect.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from flows import environment
from flows.cli import explore, matrix, rank, sampling, training, up
from flows.cli.common import (
    CONFIG,
    ConfigOption,
    JsonOption,
    as_flow,
    attempt,
    complain,
    greet,
    say,
)

app = typer.Typer(
    name="nonesuch",
    help="Turn a pile of scraped pictures into a clean, versioned training set.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class ExportKind(StrEnum):
    """Layouts that other trainers read."""

    STYLEGAN = "stylegan"
    IMAGEFOLDER = "imagefolder"
    PARQUET = "parquet"


class Word(StrEnum):
    """What a person can say about an item."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNDECIDE = "undecide"


def _show_version(wanted: bool) -> None:
    if wanted:
        say(metadata.version("nonesuch"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Turn a pile of scraped pictures into a clean, versioned training set."""


def main() -> None:
    """Run the command line."""
    code = 1  # that of an exception that nobody expects
    # What is registered first comes last: by then everybody else has cleaned up.
    atexit.register(lambda: _leave(code))
    environment.prepare()
    signal.signal(signal.SIGINT, _stop)
    try:
        app()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _leave(code: int) -> None:
    """End without taking the interpreter apart.

    A thread of Arrow's that lets go of a Python object then is killed, and takes the process down
    with SIGABRT: of commands that read a table and end at once, one in ten would.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _stop(_number: int, _frame: object) -> NoReturn:
    """End at once on Ctrl-C: whatever is half done is found and done again by the next run.

    The terminal interrupts Prefect's local server as well, and Prefect would wait a minute for it.
    """
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(2, f"{show_cursor}\nstopped; the same command goes on from here\n".encode())
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
    os._exit(130)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = CONFIG,
    images: Annotated[
        str, typer.Option(help="Folder of pictures, or the URL of a web shop.")
    ] = "images",
    contact: Annotated[
        str, typer.Option(help="Who crawls a shop: an e-mail address or a page.")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the dataset.")] = "dataset",
    root: Annotated[str, typer.Option(help="Where the dataset will live.")] = "data",
) -> None:
    """Write a commented configuration file."""
    from flows.settings import ConfigError, parse_text
    from flows.template import render

    def work() -> None:
        text = render(name, root, images, web={"contact": contact} if contact else None)
        parse_text(text, name="init", folder=path.resolve().parent)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise ConfigError(f"{path} exists already; remove it or name another file") from None

    attempt(work)
    if "://" not in images and not (path.resolve().parent / images).exists():
        say(f"note: there is no {images} yet")
    say(f"wrote {path}; look through [[sources]], then run: nonesuch rebuild -c {path}")


@app.command()
def rebuild(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Bring the catalog up to date with its sources, judge it, write the report."""
    from flows.settings import load

    settings = attempt(lambda: load(config))

    def work() -> Any:
        with as_flow(settings):
            from flows.rebuild import rebuild as flow

            return flow(settings)

    summary = attempt(work)
    if as_json:
        say(summary.model_dump_json())
        return
    from flows.cli.tables import show_rebuild

    show_rebuild(summary, report=_report(settings))


def _report(settings: Any) -> str:
    from data_catalog.versions import REPORT
    from flows.catalog import open_catalog

    return open_catalog(settings).root.address(REPORT)


@app.command()
def publish(
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; repeatable. Otherwise all of them.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="The whole set besides splits, too.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Freeze what is accepted into a version with training shards, or into one for each split."""
    from flows.settings import load

    settings = attempt(lambda: load(config))

    def work() -> Any:
        with as_flow(settings):
            from flows.publish import EmptySplitError
            from flows.publish import publish as flow

            try:
                return flow(settings, split or [], whole)
            except EmptySplitError as error:
                if error.published is not None:
                    _show_published(settings, error.published, as_json)
                raise

    _show_published(settings, attempt(work), as_json)


def _show_published(settings: Any, summary: Any, as_json: bool) -> None:
    if as_json:
        hidden = {"path": True, "versions": {"__all__": {"path"}}}
        say(summary.model_dump_json(exclude=hidden))
        return
    for one in summary.versions:
        say(
            f"version {one.version}{f' ({one.split})' if one.split else ''}: "
            f"{one.items:,} items, shards: {one.shards}{_not_latest(settings, one)}\n{one.path}"
        )
    if settings.splits:
        say(
            f"in several of the splits: {summary.in_several:,} items; "
            f"in none of them: {summary.in_none:,}"
        )


def _not_latest(settings: Any, published: Any) -> str:
    """Say so where an older version holds exactly what was to be published."""
    from data_catalog.versions import load_version
    from flows.catalog import open_catalog

    version = published.version
    latest = load_version(open_catalog(settings), split=published.split).version
    if latest == version:
        return ""
    return f"; it was published before, the latest is {latest}: export with --version {version}"


@app.command()
def status(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show sources, the last build, versions and decisions."""
    from flows.inspect import status as look
    from flows.settings import load

    state = attempt(lambda: look(load(config)))
    if as_json:
        say(json.dumps(state))
    else:
        from flows.cli.tables import show_status

        show_status(state)


@app.command()
def why(
    image: Annotated[str, typer.Argument(help="Image id (or its beginning), or a file's path.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell everything that is known about one image, and which rule decided."""
    from flows.inspect import why as look
    from flows.settings import load

    known = attempt(lambda: look(load(config), image))
    if as_json:
        say(json.dumps(known))
    else:
        from flows.cli.tables import show_why

        show_why(known)


@app.command()
def decide(
    image: Annotated[str, typer.Argument(help="Item or image id (or its beginning), or a path.")],
    word: Annotated[Word, typer.Argument(help="Your decision; `undecide` takes it back.")],
    reviewer: Annotated[str, typer.Option(help="Who decides.")] = "cli",
    note: Annotated[str, typer.Option(help="Why; the note that is there stays without it.")] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Accept or reject an item by hand. Your word wins over every rule, in all later rebuilds."""
    from flows.inspect import decide as tell
    from flows.settings import load

    verdict = {"accept": "accepted", "reject": "rejected", "undecide": "undecided"}[word.value]
    items = attempt(lambda: tell(load(config), image, verdict, reviewer, note, datetime.now(UTC)))
    for item in items:
        say(f"{item}: {verdict}; it counts from the next rebuild or publish on")


@app.command()
def review(
    host: Annotated[str, typer.Option(help="Address to listen at; else `review.host`.")] = "",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 is any free one; else `review.port`."),
    ] = None,
    backup: Annotated[
        Path | None, typer.Option(help="Copy the decisions to this file, and end.")
    ] = None,
    export_to: Annotated[
        Path | None, typer.Option("--export", help="Write decisions as .csv or .jsonl, and end.")
    ] = None,
    import_from: Annotated[
        Path | None, typer.Option("--import", help="Take in a .csv or .jsonl file, and end.")
    ] = None,
    reviewer: Annotated[str, typer.Option(help="Who imports.")] = "cli",
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Print tokens for the configuration, and end.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Open the review page: accept, reject and tag what the rules have flagged."""
    _refuse_together(
        {
            "--backup": backup is not None,
            "--export": export_to is not None,
            "--import": import_from is not None,
            "--new-token": new_token,
        }
    )
    from flows.review import command as page
    from flows.settings import load

    if new_token:
        say(page.new_tokens())
        return
    settings = attempt(lambda: page.listening_at(load(config), host, port))
    if backup is not None:
        said = attempt(lambda: page.back_up(settings, backup))
    elif export_to is not None:
        said = attempt(lambda: page.export_to(settings, export_to))
    elif import_from is not None:
        said = attempt(lambda: page.import_from(settings, import_from, reviewer))
    else:
        tell = greet(as_json)
        attempt(lambda: page.serve(settings, config, tell, in_private=sys.stdout.isatty()))
        return
    say(json.dumps(said) if as_json else ", ".join(f"{key}: {said[key]}" for key in said))


def _refuse_together(options: Mapping[str, bool]) -> None:
    """Refuse more than one of options each of which is all that is done."""
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        complain(f"error: {' and '.join(given)} do not go together; give one of them")
        raise typer.Exit(2)


app.command()(training.train)
app.command()(training.runs)
app.command()(training.metrics)
app.command()(matrix.matrix)
app.command()(rank.rank)
app.add_typer(rank.models, name="models")
app.command()(up.up)
app.add_typer(sampling.sample, name="sample")
app.add_typer(sampling.latent, name="latent")
app.command()(explore.explore)


@app.command()
def export(
    kind: Annotated[ExportKind, typer.Argument(help="Layout to write.")],
    target: Annotated[Path, typer.Argument(help="File or folder to write.")],
    version: Annotated[int, typer.Option(help="Published version; 0 is the latest.")] = 0,
    split: Annotated[
        str | None, typer.Option(help="The latest version of this split, not of the whole set.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing target.")] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write a published version for another trainer."""
    from data_catalog.exports import export as write
    from data_catalog.versions import load_version
    from flows.catalog import open_catalog
    from flows.settings import load

    def work() -> Any:
        catalog = open_catalog(load(config))
        found = load_version(catalog, version or None, split=split)
        folder = catalog.root.child("versions", str(found.version))
        return write(folder, target, kind.value, overwrite=overwrite)

    summary = attempt(work)
    if as_json:
        say(json.dumps(_as_dict(summary)))
    else:
        inverted = ", inverted" if summary.inverted else ""
        say(f"{summary.target}: {summary.items:,} items{inverted}")


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Remove orphan packs, abandoned temporaries, old table files and rankings; nothing else."""
    from data_catalog.garbage import collect
    from flows.catalog import open_catalog
    from flows.settings import load

    def work() -> Any:
        settings = load(config)
        return collect(open_catalog(settings), recipe=settings.recipe.id, dry_run=dry_run)

    summary = attempt(work)
    if as_json:
        say(json.dumps(_as_dict(summary)))
        return
    for name in (*summary.packs, *summary.temporary, *summary.table_files, *summary.rankings):
        say(name)
    verb = "would free" if dry_run else "freed"
    say(f"{verb} {summary.bytes / 1e6:,.1f} MB")


@app.command()
def forget(
    image: Annotated[str, typer.Argument(help="Image id (or its beginning), or a file's path.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the tombstone.")] = "takedown",
    rewrite_versions: Annotated[
        bool, typer.Option(help="Take it out of published versions too.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take an image down: its bytes leave the packs, and it never comes back."""
    from data_catalog.forgetting import forget as take_down
    from flows.catalog import open_catalog
    from flows.inspect import find_image
    from flows.settings import load

    def work() -> Any:
        catalog = open_catalog(load(config))
        whole = len(image) == 64 and set(image) <= set("0123456789abcdef")
        image_id = image if whole else find_image(catalog, image)
        return take_down(catalog, image_id, reason, rewrite_versions=rewrite_versions)

    summary = attempt(work)
    if as_json:
        say(json.dumps(_as_dict(summary)))
        return
    say(f"{summary.image_id}: forgotten")
    left = sorted(set(summary.versions) - set(summary.rewritten))
    if left:
        say(
            f"still in published versions {left}; to take it out of them: "
            f"nonesuch forget {summary.image_id} --rewrite-versions -c {config}"
        )


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to put it.")] = Path("data/demo"),
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    products: Annotated[int, typer.Option(min=20, help="Products to draw.")] = 300,
    kimg: Annotated[
        float, typer.Option(min=0, help="Thousand images to train on; 0: neither train nor rank.")
    ] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Go once round: scrape a shop with planted defects, judge, decide, publish, train, rank."""
    from flows import progress
    from flows.demo.command import run_demo

    def work() -> Any:
        with progress.watch():
            return run_demo(folder, seed=seed, products=products, kimg=kimg)

    outcome = attempt(work)
    if as_json:
        say(outcome.model_dump_json())
    else:
        from flows.cli.tables import show_demo

        show_demo(outcome)


def _as_dict(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(value)
