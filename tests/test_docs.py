"""The documents say what the code does: nothing that people may type or read is left out."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from curation.grouping import DuplicateRules
from curation.ingest.sources import SourceConfig
from curation.ingest.web.settings import WebSettings
from curation.judging import Rule, Rules
from curation.recipe import Detector, Limits, Recipe
from curation.stages.splits import SplitConfig
from data_catalog.schema import TABLES, Reason, Verdict
from flows.cli.app import app
from flows.compute.settings import ComputeConfig
from flows.loop.settings import LoopConfig, Schedules, ServerConfig
from flows.ranking.settings import RankConfig
from flows.settings import Dataset, DatasetConfig, Publishing, Running
from flows.trainings.settings import SETTINGS, MatrixConfig, TrainConfig
from review_ui.settings import ReviewConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md") for path in ROOT.glob(pattern)
)
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("dataset", Dataset),
    ("web", WebSettings),
    ("recipe", Recipe),
    ("recipe.detector", Detector),
    ("limits", Limits),
    ("duplicates", DuplicateRules),
    ("publish", Publishing),
    ("train", TrainConfig),
    *((f"train.{name}", type(getattr(TrainConfig(), name))) for name in SETTINGS),
    ("matrix", MatrixConfig),
    ("rank", RankConfig),
    ("schedules", Schedules),
    ("loop", LoopConfig),
    ("server", ServerConfig),
    ("compute", ComputeConfig),
    ("review", ReviewConfig),
    ("run", Running),
)
RULES = tuple(Rules().all())
COMMANDS = typer.main.get_command(app)


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """Text below a second-level heading, up to the next one."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    assert found, f"no section `## {heading}`"
    return found[1]


def anchors(page: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Relative links of a page: file and anchor."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield (page.parent / file if file else page), anchor


def in_toml(value: object) -> str:
    """A default as the tables write it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(in_toml, value)).replace('`', '')}]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for file, anchor in links(page):
        assert file.exists(), f"{page.name} links to {file}, which is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{file.name}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_of_configuration_are_valid(page: Path) -> None:
    for example in re.findall(r"^```toml\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        DatasetConfig.model_validate(tomllib.loads(example))


@pytest.mark.parametrize(("name", "model"), SECTIONS)
def test_every_key_is_documented_with_its_default(name: str, model: type[BaseModel]) -> None:
    text = section(read("configuration.md"), f"[{name}]")
    for key, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):  # a section of its own
            continue
        default: Any = None if field.is_required() else field.get_default(call_default_factory=True)
        assert f"| `{key}` | {in_toml(default)} |" in text, f"[{name}] {key}: {default!r}"


@pytest.mark.parametrize("model", get_args(get_args(SourceConfig)[0]))
def test_every_key_of_a_source_is_documented(model: type[BaseModel]) -> None:
    own = model.model_fields.keys() - WebSettings.model_fields.keys()  # [web] explains those
    listed = section(read("configuration.md"), "[[sources]]")
    assert [key for key in own if f"`{key}`" not in listed] == []
    explained = read("sources.md")
    assert [key for key in own if not re.search(rf"\b{key}\b", explained)] == []


def test_every_key_of_a_split_is_documented() -> None:
    text = section(read("configuration.md"), "[[splits]]")
    assert [key for key in SplitConfig.model_fields if f"| `{key}` |" not in text] == []


def test_every_section_is_documented() -> None:
    text = read("configuration.md")
    for name in DatasetConfig.model_fields:
        heading = f"## [[{name}]]" if name in ("sources", "splits") else f"## [{name}]"
        assert f"\n{heading}\n" in text


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.reason))
def test_every_rule_is_documented_with_its_defaults(rule: Rule) -> None:
    bounds = ", ".join(f"`{name} = {getattr(rule, name)}`" for name in rule.bounds)
    row = f"| `{rule.reason}` | {bounds or '–'} | `{rule.action}` |"
    assert row in section(read("configuration.md"), "[rules]")
    page = read("rules.md")
    headings = (
        "Rules on one picture",
        "Copies and colourways",
        "Rules on scores",
    )
    tables = "".join(section(page, heading) for heading in headings)
    row = next(line for line in tables.splitlines() if line.startswith(f"| `{rule.reason}` |"))
    for name in rule.bounds:
        assert f"`{name}`" in row
        assert re.search(rf"\b{re.escape(str(getattr(rule, name)))}\b", row), name
    assert row.endswith(f"| {rule.action} |")


def test_every_measure_of_a_rule_is_documented() -> None:
    text = section(read("rules.md"), "Measures")
    for rule in RULES:
        for test in rule.thresholds():
            assert f"| `{test.column}` |" in text


@pytest.mark.parametrize("value", [*Reason, *Verdict])
def test_every_reason_and_verdict_is_documented(value: Reason | Verdict) -> None:
    assert f"`{value}`" in read("rules.md")


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_documented(table: str) -> None:
    assert f"| `{table}` |" in section(read("catalog.md"), "Tables")


def test_every_command_is_documented_with_its_options() -> None:
    page = read("commands.md")
    commands: dict[str, Any] = getattr(COMMANDS, "commands", {})
    assert len(commands) >= 10
    for name, command in commands.items():
        text = section(page, f"nonesuch {name}")
        assert f"$ nonesuch {name}" in text
        for parameter in command.params:
            option = next((o for o in parameter.opts if o.startswith("--")), parameter.name.upper())
            if option not in ("--config", "--help"):
                assert f"`{option}`" in text, f"nonesuch {name} {option}"


@pytest.mark.parametrize(("group", "page"), [("sample", "sampling.md"), ("latent", "latent.md")])
def test_every_command_of_a_group_is_documented_with_its_options(group: str, page: str) -> None:
    text = read(page)
    found = dict(leaves(COMMANDS.commands[group], f"nonesuch {group}"))  # type: ignore[attr-defined]
    assert len(found) > 5
    for name, command in found.items():
        assert f"$ {name} " in text or f"`{name} " in text or f"## {name}\n" in text, name
        for parameter in command.params:
            option = next((o for o in parameter.opts if o.startswith("--")), None)
            assert option is None or f"`{option}`" in text, f"{name} {option}"


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Commands below a group, by what people type."""
    for word, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "commands", None):
            yield from leaves(inner, f"{name} {word}")
        else:
            yield f"{name} {word}", inner


def test_no_command_is_documented_that_is_not_there() -> None:
    commands = set(getattr(COMMANDS, "commands", {}))
    for page in PAGES:
        written = re.findall(r"`(?:\$ )?nonesuch ([a-z]+)", page.read_text(encoding="utf-8"))
        assert set(written) <= commands, page.name
