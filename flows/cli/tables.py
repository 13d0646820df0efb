"""Results as people read them on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows import traffic

if TYPE_CHECKING:
    from curation.scorers import Scorer
    from flows.demo.command import DemoLoop, DemoOutcome
    from flows.rank import RankSummary
    from flows.rebuild import RebuildSummary
    from flows.trainings.models import ModelSummary
    from flows.trainings.runs import RunSummary

_VERDICTS = {"accepted": "green", "flagged": "yellow", "rejected": "red", "failed": "magenta"}

_STATUS = {
    "running": "green",
    "finished": "default",
    "stopped": "yellow",
    "failed": "red",
    "lost": "red",
}


def _console() -> Console:
    return Console(highlight=False)


def _bar(share: float, width: int = 30) -> str:
    return "█" * max(1, round(share * width)) if share > 0 else ""


def show_rebuild(summary: RebuildSummary, report: str) -> None:
    """Show the funnel, the reasons, and where the report lies."""
    console = _console()
    table = Table(title="Rebuild", title_justify="left", box=None, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("seen", f"{summary.seen:,}", f"{summary.new:,} new images")
    table.add_row("items", f"{summary.items:,}", f"{summary.standardized:,} standardized now")
    for name, colour in _VERDICTS.items():
        count = getattr(summary, name)
        share = count / max(summary.items, 1)
        table.add_row(
            f"[{colour}]{name}[/]", f"{count:,}", f"[{colour}]{_bar(share)}[/] {share:.1%}"
        )
    console.print(table)
    if summary.reasons:
        show_counts("Reasons", summary.reasons)
    for note in summary.notes:
        console.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)
    console.print(f"build {summary.build}, {summary.seconds:.1f} s")
    console.print(f"report: {escape(_link(report))}", soft_wrap=True)


def show_counts(title: str, counts: Mapping[str, int]) -> None:
    """Show counts as bars, largest first."""
    table = Table(title=title, title_justify="left", box=None, show_header=False)
    most = max(counts.values(), default=1)
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        table.add_row(name, f"{count:,}", _bar(count / most))
    _console().print(table)


def show_status(state: Mapping[str, Any]) -> None:
    """Show sources, last build and versions."""
    console = _console()
    console.print(f"{escape(state['dataset'])} at {escape(state['root'])}", soft_wrap=True)
    sources = Table("source", "observations", "images", "failures", box=None)
    for source in state["sources"]:
        failures = ", ".join(f"{k} {v}" for k, v in sorted(source["failures"].items()))
        sources.add_row(
            escape(source["source"]),
            f"{source['observations']:,}",
            f"{source['images']:,}",
            failures or "none",
        )
    console.print(sources)
    for source in state["sources"]:
        if source["crawl"] is not None:
            _show_crawl(console, source["source"], source["crawl"])
    build = state["build"]
    if build is None:
        console.print("not built yet: run `nonesuch rebuild`")
    else:
        counts = ", ".join(f"{build[name]:,} {name}" for name in _VERDICTS)
        console.print(f"build {build['build']} of {build['built_at']}: {counts}")
    for version in state["versions"]:
        of = f" ({escape(version['split'])})" if version["split"] else ""
        console.print(
            f"version {version['version']}{of}: {version['items']:,} items, "
            f"{version['shards']} shards, {version['hash'][:12]}"
        )
    if state["run"] is not None:
        run = state["run"]
        console.print(
            f"run {escape(run['name'])}: {run['status']} at {run['kimg']:g} of "
            f"{run['total_kimg']:g} kimg, on version {run['version']}"
        )
    console.print(f"{state['decisions']:,} decisions, {state['forgotten']:,} forgotten images")


def _show_crawl(console: Console, name: str, crawl: Mapping[str, Any]) -> None:
    """Show how the last crawl of a source went, host by host."""
    state = crawl["state"]
    how = {
        "finished": "finished",
        "interrupted": "interrupted; the next rebuild goes on",
        "listing": "the archive's listing broke off; the next rebuild goes on",
    }
    console.print(
        f"crawl of {escape(name)}, begun {crawl['began']}: "
        f"{how.get(state, f'stopped at {state}; the next rebuild goes on')}; "
        f"{crawl['pages']:,} pages known"
        + (f", {traffic.errors(crawl['page_failures'])}" if crawl["page_failures"] else ""),
        soft_wrap=True,
    )
    for run in crawl["runs"][-1:]:
        hosts = Table("host", "pages", "pictures", "bytes", "errors", box=None)
        for host, part in run["hosts"].items():
            hosts.add_row(
                escape(host),
                f"{part['pages']:,}",
                f"{part['images']:,}",
                traffic.size(part["bytes"]),
                traffic.errors(part["errors"]) or "none",
            )
        console.print(hosts)


def show_why(known: Mapping[str, Any]) -> None:
    """Show one image: sources, measures against thresholds, relatives, verdict, versions."""
    console = _console()
    console.print(f"image {known['image_id']}")
    for row in known["observations"]:
        console.print(
            f"  from {escape(row['source'])}: {escape(row['locator'])}, {row['observed_at']}",
            soft_wrap=True,
        )
    for item in known["items"]:
        _show_item(console, item)
    for row in known["forgotten"]:
        console.print(f"forgotten at {row['forgotten_at']}: {escape(row.get('why', ''))}")
    versions = ", ".join(str(version) for version in known["versions"]) or "none"
    console.print(f"in published versions: {versions}")


def _show_item(console: Console, item: Mapping[str, Any]) -> None:
    verdict = item["verdict"] or "not judged yet"
    colour = _VERDICTS.get(verdict, "white")
    reasons = ", ".join(item["reasons"]) or "no rule is broken"
    console.print(f"item {item['item_id']}", soft_wrap=True)
    console.print(f"  [{colour}]{verdict}[/] by {escape(item['decided_by'] or '-')}: {reasons}")
    features = item["features"]
    if features.get("failure"):
        console.print(f"  {features['failure']}: {escape(features.get('detail', ''))}")
        return
    table = Table("rule", "measure", "value", "broken if", "action", box=None, padding=(0, 2))
    for test in item["tests"]:
        style = "bold red" if test["broken"] else ""
        value = "not known" if test["value"] is None else f"{test['value']:g}"
        table.add_row(
            test["rule"], test["measure"], value, test["broken_if"], test["action"], style=style
        )
    console.print(table)
    for scorer, score in item["scores"].items():
        _show_score(console, scorer, score)
    for related in item["related"]:
        console.print(
            f"  {related['relation']} {related['item']}, distance {related['distance']:g}",
            soft_wrap=True,
        )
    group = item["group"]
    if group and group.get("duplicate_of"):
        console.print(f"  copy of {group['duplicate_of']} ({group['relation']})", soft_wrap=True)
    for decision in item["decisions"]:
        console.print(
            f"  {escape(decision['reviewer'])} said {decision['verdict']} "
            f"at {decision['decided_at']} {escape(decision.get('note', ''))}"
        )


def _show_score(console: Console, scorer: Scorer, score: Mapping[str, Any]) -> None:
    error, place = score["standard_error"], score["percentile"]
    console.print(
        f"  {scorer.called} {score['mean']:.3g}"
        + ("" if error is None else f" ± {error:.2g}")
        + f" by {escape(score['model'])}"
        + ("" if place is None else f", place {place:.3g} of 100 among all that it has scored"),
        soft_wrap=True,
    )


def show_runs(runs: Sequence[RunSummary], folder: str) -> None:
    """Show how far each run has come, and its last metrics."""
    console = _console()
    if not runs:
        console.print(
            f"no runs in {escape(folder)}: start one with `nonesuch train`", soft_wrap=True
        )
        return
    table = Table(box=None)
    for heading in ("run", "status", "version", "kimg", "newest snapshot"):
        table.add_column(heading, no_wrap=True)
    table.add_column("metrics")
    for run in runs:
        known = run.newest_metrics()
        leading = next((name for name in ("fid", "fd_own", *known) if name in known), None)
        figures = f"{leading} {known[leading]:.4g}" if leading else ""
        table.add_row(
            escape(run.name),
            f"[{_STATUS[run.status]}]{run.status}[/]",
            str(run.version or "–"),
            f"{run.kimg:g} of {run.total_kimg:g}",
            run.newest_snapshot or "none",
            figures or "none",
        )
    console.print(table)
    for run in runs:
        if run.status in ("failed", "lost"):
            console.print(
                f"{escape(run.name)}: {escape(run.reason.split('. ')[0])}", soft_wrap=True
            )


def show_ranking(summary: RankSummary) -> None:
    """Show what a ranking came to, and where its pictures are."""
    from flows.rank import lines_of

    console = _console()
    for ranking in summary.rankings:
        table = Table(
            title=f"Ranking by {ranking.scorer.called}",
            title_justify="left",
            box=None,
            show_header=False,
        )
        table.add_column()
        table.add_column(justify="right")
        for name, value in lines_of(ranking):
            table.add_row(name, escape(value))
        console.print(table)
        for item, why in ranking.damaged.items():
            console.print(f"[yellow]{escape(item)} {escape(why)}[/]", soft_wrap=True)
        for name, path in ranking.pictures.items():
            console.print(f"{name}: {escape(_link(path))}", soft_wrap=True)
    for note in summary.notes:
        console.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)
    console.print(f"{summary.seconds:.1f} s; the next rebuild judges by these scores")


def show_models(models: Sequence[ModelSummary]) -> None:
    """Show the models that may judge, and which one does."""
    console = _console()
    if not models:
        console.print("no model yet: `nonesuch train` registers one when it has come to its end")
        return
    table = Table(box=None)
    for heading in ("", "model", "version", "kimg"):
        table.add_column(heading, no_wrap=True)
    for heading in ("size", "snapshots", "metrics"):
        table.add_column(heading)
    for model in models:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in model.metrics.items())
        count = sum(map(len, model.snapshots))
        table.add_row(
            "[green]current[/]" if model.current else "",
            escape(model.model),
            str(model.version or "–"),
            f"{model.kimg:g}",
            f"{model.width}×{model.height}",
            f"{count}" if model.usable else "[red]gone[/]",
            figures or "none",
        )
    console.print(table)
    for model in models:
        if model.grid is not None:
            console.print(f"{escape(model.model)}: {escape(_link(model.grid))}", soft_wrap=True)


def show_demo(outcome: DemoOutcome) -> None:
    """Show what was planted and what became of it, and where to look."""
    console = _console()
    table = Table("planted defect", "planted", "caught", "missed", "false alarms", box=None)
    for row in outcome.rows:
        style = "" if row.missed == 0 else "yellow"
        table.add_row(
            row.defect,
            str(row.planted),
            str(row.caught),
            str(row.missed),
            str(row.false_alarms),
            style=style,
        )
    console.print(table)
    console.print(
        f"{outcome.sound} sound pictures, {outcome.sound_accepted} accepted; "
        f"{outcome.planted} planted defects, {outcome.caught} caught; {outcome.seconds:.1f} s"
    )
    console.print(f"version {outcome.version}: {outcome.items} items, shards: {outcome.shards}")
    places = {"pictures": outcome.pictures, "version": outcome.path, "report": outcome.report}
    if outcome.loop is not None:
        _show_round(console, outcome.loop)
        places |= {"run": outcome.loop.run, "samples": outcome.loop.grid or "none"}
        places |= outcome.loop.pictures
    for name, place in places.items():
        console.print(
            f"{name}: {escape(_link(place) if name == 'report' else place)}", soft_wrap=True
        )


def _show_round(console: Console, loop: DemoLoop) -> None:
    decided, ranked, flagged = (
        ", ".join(f"{name}: {count}" for name, count in counts.items())
        for counts in (loop.decided, loop.ranked, loop.flagged)
    )
    console.print(
        f"decided on the review page: {decided}; trained on {loop.kimg:g} kimg\n"
        f"ranked by {ranked}; left for people to look at: {flagged}"
    )


def _link(path: str) -> str:
    return path if "://" in path else Path(path).absolute().as_uri()
