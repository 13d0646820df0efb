"""The command line: exit codes, JSON that other work builds on, errors that name the thing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.settings import load
from tests.flows.world import REPOSITORY, WORDS, Outcome, World, fill

pytestmark = pytest.mark.xdist_group("prefect")

Run = Callable[..., Outcome]


def refused(outcome: Outcome, code: int) -> str:
    """Give what an error said; nothing is printed but that."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    return outcome.err


@pytest.fixture
def built(world: World) -> World:
    """A dataset that is rebuilt and published."""
    fill(world.images, range(4))
    (world.images / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    world.write_config()
    world.rebuild()
    world.publish()
    return world


def config_of(world: World) -> tuple[str, str]:
    return "-c", str(world.folder / "nonesuch.toml")


# ---- init. ---------------------------------------------------------------------------------------


def test_init_writes_a_file_that_loads(
    tmp_path: Path, in_this_process: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = in_this_process("init", "--name", "hats", "--images", "pics", "--root", "set")
    assert outcome.code == 0
    assert "nonesuch rebuild -c nonesuch.toml" in outcome.out
    config = load("nonesuch.toml")
    assert config.dataset.name == "hats"
    assert config.dataset.root == str(tmp_path / "set")
    assert config.sources[0].path == str(tmp_path / "pics")


def test_init_twice_refuses_and_keeps_what_is_there(tmp_path: Path, in_this_process: Run) -> None:
    file = tmp_path / "my.toml"
    assert in_this_process("init", str(file)).code == 0
    file.write_text(file.read_text() + "# mine\n")
    before = file.read_text()
    said = refused(in_this_process("init", str(file), "--name", "other"), 2)
    assert f"{file} exists already; remove it or name another file" in said
    assert file.read_text() == before


def test_init_refuses_what_would_not_load(tmp_path: Path, in_this_process: Run) -> None:
    file = tmp_path / "my.toml"
    assert "`dataset.name`" in refused(in_this_process("init", str(file), "--name", "a b"), 2)
    assert "`sources.0.path`" in refused(in_this_process("init", str(file), "--images", ""), 2)
    assert not file.exists()
    there = tmp_path / "nowhere" / "my.toml"
    assert str(there) in refused(in_this_process("init", str(there)), 1)


# ---- Exit codes. ---------------------------------------------------------------------------------

COMMANDS: list[tuple[str, ...]] = [
    ("rebuild",),
    ("publish",),
    ("status",),
    ("why", "x.jpg"),
    ("decide", "x.jpg", "accept"),
    ("train",),
    ("runs",),
    ("metrics", "v1-tiny"),
    ("export", "stylegan", "out.zip"),
    ("gc",),
    ("forget", "x.jpg"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_broken_configuration_ends_with_2(
    tmp_path: Path, in_this_process: Run, command: tuple[str, ...]
) -> None:
    file = tmp_path / "nonesuch.toml"
    said = refused(in_this_process(*command, "-c", str(file)), 2)
    assert f"{file} does not exist; write one with `nonesuch init`" in said
    file.write_text("[dataset]\nroot = \n")
    assert f"{file} is not valid TOML" in refused(in_this_process(*command, "-c", str(file)), 2)
    file.write_text("[recipe]\nwidht = 5\n")
    said = refused(in_this_process(*command, "-c", str(file)), 2)
    assert f"{file}: `recipe.widht` is not a key; did you mean `width`?" in said
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "arguments", [("rebuidl",), ("rebuild", "--jsno"), ("decide", "x", "perhaps"), ("export", "y")]
)
def test_wrong_usage_ends_with_2(in_this_process: Run, arguments: tuple[str, ...]) -> None:
    outcome = in_this_process(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert arguments[-1] in outcome.err or "Usage" in outcome.err


def test_a_port_that_cannot_be_is_refused(in_this_process: Run) -> None:
    for port in ("99999", "-5"):
        outcome = in_this_process("review", "--port", port)
        assert outcome.code == 2
        assert "Invalid value for '--port'" in outcome.err


def test_only_one_file_at_a_time_goes_out_or_comes_in(world: World, in_this_process: Run) -> None:
    world.write_config()
    out, copy = world.folder / "out.csv", world.folder / "copy.sqlite"
    command = ("review", "--backup", str(copy), "--export", str(out), *config_of(world))
    said = refused(in_this_process(*command), 2)
    assert "--backup and --export do not go together; give one of them" in said
    assert not out.exists()
    assert not copy.exists()


def test_where_nobody_reviewed_nothing_goes_out_and_nothing_is_made(
    world: World, in_this_process: Run
) -> None:
    world.write_config()
    before = sorted(world.folder.rglob("*"))
    for option, name in (("--backup", "copy.sqlite"), ("--export", "out.csv")):
        command = ("review", option, str(world.folder / name), *config_of(world))
        assert "review.sqlite is not there yet" in refused(in_this_process(*command), 1)
    assert sorted(world.folder.rglob("*")) == before


def test_work_that_fails_ends_with_1(world: World, in_this_process: Run) -> None:
    world.raw["sources"] = [{"kind": "folder", "path": "nowhere"}]
    world.write_config()
    said = refused(in_this_process("rebuild", "--json", *config_of(world)), 1)
    assert str(world.folder / "nowhere") in said
    assert "does not exist" in said
    said = refused(in_this_process("export", "parquet", "x.parquet", *config_of(world)), 1)
    assert "has no published version; run `nonesuch publish`" in said


def test_help_is_quick_and_loads_no_prefect() -> None:
    code = (
        "import sys, flows.cli.app\n"
        "try: flows.cli.app.app(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = ('prefect', 'cv2', 'pyarrow', 'torch')\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in heavy]"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    commands = ("demo", "init", "rebuild", "status", "publish", "export", "gc", "why", "forget")
    commands += ("train", "runs", "metrics")
    assert all(command in done.stdout for command in commands)


# ---- JSON. ---------------------------------------------------------------------------------------


def test_rebuild_and_publish_end_with_the_promised_json(world: World) -> None:
    """In a process of its own, as programs call it."""
    fill(world.images, range(3))
    world.write_config()
    outcome = world.run("rebuild", "--json")
    assert outcome.code == 0, outcome.err
    (line,) = outcome.out.splitlines()
    assert set(json.loads(line)) == {*WORDS, "ranked", "notes", "reasons", "seconds", "build"}
    assert outcome.json["accepted"] == 3
    assert "standardize 1 of 1: 3 images" in outcome.err
    outcome = world.run("publish", "--json")
    assert outcome.code == 0, outcome.err
    (line,) = outcome.out.splitlines()
    one = {"version", "split", "hash", "items", "shards"}
    assert set(json.loads(line)) == {*one, "versions", "in_several", "in_none"}
    assert set(outcome.json["versions"][0]) == one
    assert outcome.json["items"] == 3


def test_json_of_the_other_commands(built: World, in_this_process: Run) -> None:
    def said(*arguments: str) -> Any:
        outcome = in_this_process(*arguments, "--json", *config_of(built))
        assert outcome.code == 0, outcome
        (line,) = outcome.out.splitlines()
        return json.loads(line)

    status = said("status")
    assert status["build"]["accepted"] == 4
    assert status["versions"][0]["items"] == 4
    assert said("why", "0001.jpg")["items"][0]["verdict"] == "accepted"
    exported = said("export", "parquet", str(built.folder / "x.parquet"))
    assert exported["items"] == 4
    assert said("gc", "--dry-run")["dry_run"] is True
    gone = said("forget", "0001.jpg")
    assert (gone["known"], gone["versions"], gone["rewritten"]) == (True, [1], [])


# ---- What people see. ----------------------------------------------------------------------------


def test_people_see_the_outcome_and_where_the_report_lies(
    built: World, in_this_process: Run
) -> None:
    outcome = in_this_process("rebuild", *config_of(built))
    assert outcome.code == 0
    for words in ("accepted", "corrupt", "build ", "report: file://"):
        assert words in outcome.out
    outcome = in_this_process("publish", *config_of(built))
    assert "version 1: 4 items" in outcome.out
    outcome = in_this_process("status", *config_of(built))
    assert "4 accepted" in outcome.out
    assert "corrupt 1" not in outcome.err


def test_deciding_and_asking_why(built: World, in_this_process: Run) -> None:
    outcome = in_this_process(
        "decide", "0002.jpg", "reject", "--reviewer", "ann", "--note", "a [b]", *config_of(built)
    )
    assert outcome.code == 0
    assert f"{built.image_id('0002.jpg')}: rejected" in outcome.out
    in_this_process("rebuild", *config_of(built))
    outcome = in_this_process("why", "0002.jpg", *config_of(built))
    for words in ("rejected", "by ann", "a [b]", "too_small", "shorter_side"):
        assert words in outcome.out
    outcome = in_this_process("why", "broken.jpg", *config_of(built))
    assert "corrupt" in outcome.out


def test_an_image_that_is_not_known_is_named(built: World, in_this_process: Run) -> None:
    for command in (("why", "no.jpg"), ("decide", "no.jpg", "accept"), ("forget", "no.jpg")):
        said = refused(in_this_process(*command, *config_of(built)), 1)
        assert "knows no image 'no.jpg'; give an image id or a path" in said


def test_exports_refuse_to_overwrite_unless_told(built: World, in_this_process: Run) -> None:
    target = built.folder / "out.zip"
    target.write_text("mine")
    command = ("export", "stylegan", str(target), *config_of(built))
    assert str(target) in refused(in_this_process(*command), 1)
    assert target.read_text() == "mine"
    outcome = in_this_process(*command, "--overwrite")
    assert outcome.code == 0
    assert "4 items" in outcome.out
    assert "no version 7; there are 1" in refused(in_this_process(*command, "--version", "7"), 1)


def test_forgetting_says_where_the_image_still_is(built: World, in_this_process: Run) -> None:
    image = built.image_id("0003.jpg")
    outcome = in_this_process("forget", "0003.jpg", *config_of(built))
    assert outcome.code == 0
    assert f"{image}: forgotten" in outcome.out
    assert "still in published versions [1]" in outcome.out
    outcome = in_this_process("forget", image, "--rewrite-versions", *config_of(built))
    assert outcome.code == 0
    assert "still in" not in outcome.out
    assert image not in built.published()
    outcome = in_this_process("why", image, *config_of(built))
    assert outcome.code == 0
    assert "takedown" in outcome.out


def test_gc_names_what_goes(built: World, in_this_process: Run) -> None:
    temporary = built.folder / "catalog" / "raw" / ".tmp-00.tar"
    temporary.write_bytes(b"x" * 200_000)
    outcome = in_this_process("gc", "--dry-run", *config_of(built))
    assert "raw/.tmp-00.tar" in outcome.out
    assert "would free 0.2 MB" in outcome.out
    assert temporary.exists()
    outcome = in_this_process("gc", *config_of(built))
    assert "freed 0.2 MB" in outcome.out
    assert not temporary.exists()


def test_the_demo_catches_what_it_planted(world: World, in_this_process: Run) -> None:
    folder = world.folder / "demo"
    little = ("--products", "20", "--kimg", "0.064")
    outcome = in_this_process("demo", str(folder), *little, "--json")
    assert outcome.code == 0, outcome
    told = json.loads(outcome.out.splitlines()[-1])
    assert told["planted"] > 100
    assert told["caught"] >= 0.9 * told["planted"]
    assert Path(told["report"]).is_file()
    assert told["loop"]["decided"]["rejected"] > 30
    assert told["loop"]["kimg"] == 0.064
    assert told["loop"]["ranked"].keys() == {"density", "discriminator"}
    assert all(Path(picture).is_file() for picture in told["loop"]["pictures"].values())
