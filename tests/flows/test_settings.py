"""Every wrong key and value is refused with words that name it and say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from flows.decisions import store_url
from flows.settings import ConfigError, DatasetConfig, load, parse, parse_text

HERE = Path("/somewhere")
FOLDER = {"kind": "folder", "path": "images"}
CASCADE = "haarcascade_frontalface_default"


def refusal(raw: dict[str, Any]) -> list[str]:
    """Give the lines of the error, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        parse(raw, name="my.toml", folder=HERE)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("my.toml: ") for line in lines)
    return [line.removeprefix("my.toml: ") for line in lines]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        # A key that is not there.
        ({"recip": {}}, "`recip` is not a key; did you mean `recipe`?"),
        ({"recipe": {"widht": 3}}, "`recipe.widht` is not a key; did you mean `width`?"),
        ({"rules": {"blured": {}}}, "`rules.blured` is not a key; did you mean `blurred`?"),
        (
            {"rules": {"blurred": {"min_sharpnes": 1}}},
            "`rules.blurred.min_sharpnes` is not a key; did you mean `min_sharpness`?",
        ),
        (
            {"recipe": {"detector": {"cascade": CASCADE, "margn": 2}}},
            "`recipe.detector.margn` is not a key; did you mean `margin`?",
        ),
        (
            {"sources": [FOLDER | {"metadate": "x.csv"}]},
            "`sources.0.metadate` is not a key; did you mean `metadata`?",
        ),
        (
            {"run": {"gpu": 1}},
            "`run.gpu` is not a key; known keys: workers",
        ),
        # A value of the wrong type.
        ({"recipe": {"width": "a"}}, "`recipe.width`: must be a valid integer, "),
        ({"run": {"workers": 1.5}}, "`run.workers`: must be a valid integer, "),
        ({"run": 3}, "`run`: must be a table, got 3"),
        ({"dataset": {"root": 5}}, "`dataset.root`: must be a valid string, got 5"),
        ({"publish": {"include_flagged": "maybe"}}, "`publish.include_flagged`: must be a valid b"),
        ({"sources": [FOLDER | {"include": "*.jpg"}]}, "`sources.0.include`: must be a list, got "),
        ({"sources": ["x"]}, "`sources.0`: must be a table, got 'x'"),
        ({"sources": {"kind": "folder"}}, "`sources`: must be a list, got {'kind': 'folder'}; wri"),
        # A value out of range.
        ({"recipe": {"width": 4}}, "`recipe.width`: must be greater than or equal to 8, got 4"),
        ({"recipe": {"quality": 101}}, "`recipe.quality`: must be less than or equal to 100, got "),
        ({"limits": {"seconds": 0}}, "`limits.seconds`: must be greater than 0, got 0"),
        ({"publish": {"samples_per_shard": 0}}, "`publish.samples_per_shard`: must be greater th"),
        ({"run": {"workers": -1}}, "`run.workers`: must be greater than or equal to 0, got -1"),
        ({"duplicates": {"radius": 11}}, "`duplicates.radius`: must be less than or equal to 10,"),
        (
            {"rules": {"blurred": {"min_sharpness": float("nan")}}},
            "`rules.blurred.min_sharpness`: must be greater than or equal to 0, got nan",
        ),
        # A value that is none of those allowed.
        (
            {"recipe": {"fit": "stretch"}},
            "`recipe.fit`: must be 'pad', 'crop', 'top_crop' or 'subject', got 'stretch'",
        ),
        (
            {"rules": {"blurred": {"action": "drop"}}},
            "`rules.blurred.action`: must be 'reject', 'flag' or 'off', got 'drop'",
        ),
        (
            {"recipe": {"background": "white"}},
            "`recipe.background`: must be 'auto' or must be a list, got 'white'",
        ),
        ({"dataset": {"name": "a b"}}, "`dataset.name`: must match pattern "),
        ({"dataset": {"name": ""}}, "`dataset.name`: must match pattern "),
        (
            {"sources": [{"kind": "foldr", "path": "x"}]},
            "`sources.0.kind`: must be one of folder, archive, webdataset, metadata, urls, shop, "
            "wayback, got 'foldr'",
        ),
        (
            {"recipe": {"detector": {"cascade": "nope"}}},
            "`recipe.detector.cascade` names no cascade file: 'nope'; give a path or one of ",
        ),
        # What is fetched from the web.
        (
            {"sources": [{"kind": "shop", "start_urls": ["https://shop.example/"]}]},
            "`sources.0`: `contact` is missing: whoever runs a site must be able to reach whoever",
        ),
        (
            {"sources": [{"kind": "shop", "contact": "a@b.org", "start_urls": ["ftp://x/"]}]},
            "`sources.0.start_urls`: ",
        ),
        ({"web": {"allow_hosts": ["not a host"]}}, "`web.allow_hosts`: "),
        ({"web": {"contact": "a\r\nX-Evil: 1"}}, "`web.contact`: must be printable ASCII"),
        # Something that is missing, or there twice.
        ({"sources": [{"kind": "folder"}]}, "`sources.0.path` is missing"),
        (
            {"sources": [{"path": "x"}]},
            "`sources.0.kind` is missing; it must be one of folder, archive, webdataset, metadata",
        ),
        ({"recipe": {"detector": {}}}, "`recipe.detector.cascade` is missing"),
        (
            {"sources": [FOLDER, FOLDER]},
            "`sources`: two [[sources]] are called `images`; give one of them another `name`",
        ),
    ],
)
def test_what_is_wrong_is_named(raw: dict[str, Any], said: str) -> None:
    (line,) = refusal(raw)
    assert line.startswith(said)


def test_sources_are_fetched_as_web_says_unless_they_say_otherwise() -> None:
    raw = {
        "web": {"contact": "a@example.org", "delay": 3.0},
        "sources": [
            {"kind": "shop", "start_urls": ["https://one.example/shoes"]},
            {"kind": "urls", "path": "list.csv", "delay": 0.1},
            {"kind": "wayback", "url": "https://old.example/"},
            {"kind": "folder", "path": "images"},
        ],
    }
    config = parse(raw, name="x", folder=HERE)
    shop, urls, wayback, _ = (cast("Any", source) for source in config.sources)
    assert (shop.name, shop.contact, shop.delay) == ("one.example", "a@example.org", 3.0)
    assert (urls.name, urls.contact, urls.delay) == ("list.csv", "a@example.org", 0.1)
    assert urls.path == str(HERE / "list.csv")
    assert (wayback.name, wayback.delay) == ("old.example", 3.0)
    assert "a@example.org" in shop.agent


def test_everything_that_is_wrong_is_told_at_once() -> None:
    lines = refusal({"recipe": {"width": 4, "hieght": 5}, "run": {"workers": -1}})
    assert len(lines) == 3


def test_nothing_is_needed() -> None:
    config = parse({}, name="x", folder=HERE)
    placed = {"dataset": DatasetConfig().dataset, "server": DatasetConfig().server}
    assert config.server.home == HERE / "data" / "prefect"
    assert config.model_copy(update=placed) == DatasetConfig()


def sections(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Give the place of every section that is a model."""
    found = [prefix]
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += sections(field.annotation, (*prefix, name))
    return found


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sections(DatasetConfig)), st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
def test_unknown_keys_are_refused_everywhere(place: tuple[str, ...], key: str) -> None:
    model: Any = DatasetConfig
    for part in place:
        model = model.model_fields[part].annotation
    if key in model.model_fields:
        return
    raw: dict[str, Any] = {key: 1}
    for part in reversed(place):
        raw = {part: raw}
    (line,) = refusal(raw)
    assert line.startswith(f"`{'.'.join((*place, key))}` is not a key; ")


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=5,
    ),
    st.sampled_from(
        ["dataset", "sources", "recipe", "limits", "rules", "duplicates", "publish", "train", "run"]
    ),
)
def test_any_value_is_accepted_or_refused_in_words(value: Any, section: str) -> None:
    try:
        parse({section: value}, name="my.toml", folder=HERE)
    except ConfigError as error:
        assert str(error).startswith(f"my.toml: `{section}")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sets" / "my.toml"
    file.parent.mkdir()
    file.write_text(
        '[dataset]\nroot = "../catalog"\n'
        '[[sources]]\nkind = "folder"\npath = "images"\nmetadata = "tables/a.csv"\n'
        '[[sources]]\nkind = "metadata"\npath = "b.csv"\nimages = "/abs/images"\n'
    )
    config = load(file)
    assert config.dataset.root == str(tmp_path / "catalog")
    folder, table = config.sources
    assert folder.path == str(tmp_path / "sets" / "images")
    assert folder.metadata == str(tmp_path / "sets" / "tables" / "a.csv")
    assert table.path == str(tmp_path / "sets" / "b.csv")
    assert table.images == "/abs/images"
    # The same from wherever it is read.
    assert load(Path(file)) == load(tmp_path / "." / "sets" / "my.toml")


def test_absolute_paths_and_urls_stay_as_they_are() -> None:
    for root in ("/data/set", "s3://bucket/set", "memory://set"):
        assert parse({"dataset": {"root": root}}, name="x", folder=HERE).dataset.root == root


def test_home_is_resolved() -> None:
    root = parse({"dataset": {"root": "~/set"}}, name="x", folder=HERE).dataset.root
    assert root == str(Path.home() / "set")
    nobody = "~no-such-user/x"
    for raw in ({"dataset": {"root": nobody}}, {"sources": [FOLDER | {"path": nobody}]}):
        (line,) = refusal(raw)
        assert "write ./ before it" in line


def test_sources_of_one_folder_need_names_of_their_own() -> None:
    twice = [FOLDER | {"name": "left"}, FOLDER | {"name": "right"}]
    config = parse({"sources": twice}, name="x", folder=HERE)
    assert [source.name for source in config.sources] == ["left", "right"]


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml does not exist; write one with `nonesuch i"):
        load(tmp_path / "no.toml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    file = tmp_path / "latin.toml"
    file.write_bytes("[dataset]\n# gr\xfcn\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml cannot be read"):
        load(file)


def test_what_is_not_toml_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"my\.toml is not valid TOML: .*line 2"):
        parse_text("[dataset]\nname = \n", name="my.toml", folder=HERE)


def test_configuration_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        DatasetConfig().run.workers = 3  # type: ignore[misc]


def test_a_root_inside_a_source_is_refused(tmp_path: Path) -> None:
    raw = {"dataset": {"root": "data"}, "sources": [{"kind": "folder", "path": "."}]}
    with pytest.raises(ConfigError, match=r"`dataset\.root` .* inside `path`"):
        parse(raw, name="c.toml", folder=tmp_path)


def test_a_databases_password_is_in_nothing_that_is_stored(tmp_path: Path) -> None:
    for url in ("postgresql://ann:TOPSECRET@db.example/review", "sqlite:///here/TOPSECRET.sqlite"):
        config = parse({"review": {"database": url}}, name="c.toml", folder=tmp_path)
        for text in (config.model_dump_json(), repr(config), str(config.model_dump(mode="json"))):
            assert "TOPSECRET" not in text
        assert "TOPSECRET" in store_url(config)


@pytest.mark.parametrize("review", [{}, {"database": ""}])
def test_without_a_database_decisions_are_in_the_root(
    tmp_path: Path, review: dict[str, Any]
) -> None:
    config = parse({"review": review}, name="c.toml", folder=tmp_path)
    assert store_url(config) == f"sqlite:///{tmp_path}/data/review.sqlite"


def test_secrets_are_in_nothing_that_is_stored(tmp_path: Path) -> None:
    options = {"key": "TOPSECRET1", "secret": "TOPSECRET2", "anon": False}
    raw = {"dataset": {"root": "s3://bucket/x", "storage_options": options}}
    config = parse(raw, name="c.toml", folder=tmp_path)
    for text in (config.model_dump_json(), repr(config), str(config.model_dump(mode="json"))):
        assert "TOPSECRET" not in text
