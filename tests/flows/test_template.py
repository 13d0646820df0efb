"""The file that `init` writes: it loads, it is the defaults, it shows every key."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curation.grouping import DuplicateRules
from curation.ingest.folder import FolderConfig
from curation.ingest.web.settings import ShopConfig, WebSettings
from curation.judging import Rules
from curation.recipe import Detector, Limits, Recipe
from curation.stages.splits import SplitConfig
from flows.compute.settings import ComputeConfig
from flows.loop.settings import LoopConfig, Schedules, ServerConfig
from flows.ranking.settings import RankConfig
from flows.settings import Dataset, DatasetConfig, Publishing, Running, parse_text
from flows.template import render, with_settings
from flows.trainings.settings import SETTINGS, MatrixConfig, TrainConfig
from review_ui.settings import ReviewConfig

HERE = Path("/somewhere")
TEXT = render("shoes", "data/shoes", "pictures")
KEY = re.compile(r"#? ?(\w+) = ")


def of(text: str) -> DatasetConfig:
    return parse_text(text, name="nonesuch.toml", folder=HERE)


def test_it_loads_and_is_the_defaults() -> None:
    config = of(TEXT)
    assert config.dataset.name == "shoes"
    assert config.dataset.root == str(HERE / "data/shoes")
    (source,) = config.sources
    assert source == FolderConfig(name="pictures", path=str(HERE / "pictures"))
    defaults = DatasetConfig(dataset=config.dataset, sources=config.sources, server=config.server)
    assert config.server == ServerConfig(home=HERE / "data/shoes/prefect")
    assert config == defaults


def test_every_key_of_every_section_is_shown() -> None:
    sections: dict[str, list[str]] = {}
    for line in TEXT.splitlines():
        if head := re.match(r"#? ?\[+([\w.]+)\]+", line):
            keys = sections.setdefault(head[1], [])
        elif key := KEY.match(line):
            keys.append(key[1])
    expected = {
        "dataset": Dataset,
        "sources": FolderConfig,
        "web": WebSettings,
        "recipe": Recipe,
        "recipe.detector": Detector,
        "limits": Limits,
        "rules": Rules,
        "duplicates": DuplicateRules,
        "publish": Publishing,
        "train": TrainConfig,
        **{f"train.{name}": type(getattr(TrainConfig(), name)) for name in SETTINGS},
        "splits": SplitConfig,
        "matrix": MatrixConfig,
        "rank": RankConfig,
        "schedules": Schedules,
        "loop": LoopConfig,
        "server": ServerConfig,
        "compute": ComputeConfig,
        "review": ReviewConfig,
        "run": Running,
    }
    assert sections.keys() == expected.keys()
    for name, model in expected.items():
        below = {key.rpartition(".")[2] for key in expected if key.startswith(f"{name}.")}
        wanted = set(model.model_fields) - below
        assert sorted(sections[name]) == sorted(wanted), name
    assert set(DatasetConfig.model_fields) == {name.split(".")[0] for name in expected}


def test_every_parameter_of_every_rule_is_shown() -> None:
    for name in Rules.model_fields:
        (line,) = re.findall(rf"^{name} = {{(.*)}}  # .+$", TEXT, re.M)
        shown = set(re.findall(r"(\w+) = ", line))
        assert shown == set(type(getattr(Rules(), name)).model_fields)


def test_keys_can_be_set() -> None:
    chosen = {
        "recipe.width": 48,
        "rules.upscaled": {"max_factor": 0.25, "action": "flag"},
        "train.preset": "tiny",
        "train.run.total_kimg": 3.0,
    }
    config = of(with_settings(TEXT, chosen))
    assert (config.recipe.width, config.recipe.height) == (48, 512)
    assert config.rules.upscaled.max_factor == 0.25
    assert config.train.preset == "tiny"
    assert config.train.settings() == {"run.total_kimg": 3.0}
    with pytest.raises(KeyError, match=r"recipe\.widht"):
        with_settings(TEXT, {"recipe.widht": 48})


def test_every_key_says_what_it_means() -> None:
    for line in TEXT.splitlines():
        if KEY.match(line) and not line.startswith(("name", "path")):
            assert "  # " in line, line


COMMENTED = [n for n, line in enumerate(TEXT.splitlines()) if re.match(r"# (\w+ = |\[)", line)]
DETECTOR = next(n for n in COMMENTED if "[recipe.detector]" in TEXT.splitlines()[n])
# The section's head and its `cascade`, which has no default, go with any of its keys.
# A token for reviewers is refused without one for admins.
TOKENS = tuple(n for n in COMMENTED if "token = " in TEXT.splitlines()[n])
# So do a split's head and its name.
SPLIT = next(n for n in COMMENTED if "[[splits]]" in TEXT.splitlines()[n])
OF_SPLIT = {n for n in COMMENTED if SPLIT <= n <= SPLIT + len(SplitConfig.model_fields)}
OF_DETECTOR = {n for n in COMMENTED if DETECTOR <= n <= DETECTOR + len(Detector.model_fields)}


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(COMMENTED)))
def test_commented_keys_may_be_taken_in(chosen: set[int]) -> None:
    if chosen & OF_DETECTOR:
        chosen |= {DETECTOR, DETECTOR + 1}
    if chosen & OF_SPLIT:
        chosen |= {SPLIT, SPLIT + 1}
    if chosen & set(TOKENS):
        chosen |= set(TOKENS)
    lines = [
        line.removeprefix("# ") if number in chosen else line
        for number, line in enumerate(TEXT.splitlines())
    ]
    config = of("\n".join(lines))
    assert (config.recipe.detector is not None) == bool(chosen & OF_DETECTOR)
    assert len(config.splits) == bool(chosen & OF_SPLIT)


def test_commented_keys_show_their_defaults() -> None:
    text = "\n".join(line.removeprefix("# ") if n in COMMENTED else line for n, line in
                     enumerate(TEXT.splitlines()))  # fmt: skip
    config = of(text)
    assert config.limits == Limits()
    assert config.duplicates == DuplicateRules()
    assert config.publish == Publishing()
    assert config.run == Running()
    assert (config.rank, config.loop) == (RankConfig(), LoopConfig())
    for name in SETTINGS:
        section = getattr(config.train, name)
        for key, default in getattr(TrainConfig(), name):
            assert default is None or getattr(section, key) == default, f"{name}.{key}"
    assert config.recipe.detector is not None
    margins = Detector(cascade="x")
    assert config.recipe.detector.margin == margins.margin
    assert config.recipe.detector.margin_top == 2 * margins.margin


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_any_path_survives(path: str) -> None:
    assume(not path.startswith("~"))
    # A source that holds the root itself is refused.
    assume(not (HERE / "data").is_relative_to(os.path.normpath(HERE / path)))
    config = of(render("x", "data", path))
    expected = FolderConfig(path=path).at(HERE)
    assert config.sources[0].path == expected.path


@pytest.mark.parametrize("name", ["shoes", "a.b-c_1"])
def test_any_good_name_survives(name: str) -> None:
    assert of(render(name, "data", "x")).dataset.name == name


def test_a_shop_shows_its_keys_and_whom_to_ask() -> None:
    text = render("x", "data", "https://shop.example/", web={"contact": "a@example.org"})
    (shop,) = of(text).sources
    assert isinstance(shop, ShopConfig)
    assert shop == ShopConfig(
        name="shop.example", start_urls=("https://shop.example/",), contact="a@example.org"
    )
    part = text.split("[web]")[0]
    for name in ShopConfig.model_fields.keys() - WebSettings.model_fields.keys():
        assert re.search(rf"^(# )?{name} = ", part, re.M), name
