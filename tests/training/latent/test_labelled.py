"""Files of tags, and the ws of what was tagged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import Trained
from tests.training.latent.projected import put_projection
from training.errors import SetupError
from training.latent.labelled import TagRow, find_examples, read_tags
from training.latent.sampler import Sampler
from training.models import load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain))


def write(folder: Path, text: str, name: str = "tags.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    csv = write(tmp_path, "seed,tag\n7,red\n7,long\n9,\n")
    lines = write(
        tmp_path,
        '{"seed": 7, "tag": "red"}\n\n{"seed": "7", "tag": "long"}\n{"seed": 9, "tag": null}\n',
        "tags.jsonl",
    )
    expected = [TagRow(7, "red"), TagRow(7, "long"), TagRow(9, "")]
    assert read_tags(csv) == read_tags(lines) == expected


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    assert read_tags(write(tmp_path, "name,tag\n12,red\n")) == [TagRow("12", "red")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "must begin with a line `seed,tag`"),
        ("", "must begin with a line"),
        ("seed,tag\n", "has none"),
        ("seed,tag\n1,red\nx,red\n", "line 3: `seed` must be a whole number"),
        ("seed,tag\n-1,red\n", "line 2: `seed`"),
        ("seed,tag\n99999999999999999999,red\n", "line 2: `seed`"),
        ("seed,name,tag\n,,red\n", "a `seed` or a `name` must be given"),
        ("seed,tag\n1," + "x" * 101 + "\n", "at most 100 printable"),
    ],
)
def test_says_which_line_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        read_tags(write(tmp_path, text))


@given(st.binary(max_size=60))
def test_any_bytes_without_a_heading_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("tags.csv", "tags.jsonl"):
        path = folder / name
        path.write_bytes(data)
        with pytest.raises(SetupError):
            read_tags(path)


def test_a_picture_with_two_tags_is_one_example(sampler: Sampler, tmp_path: Path) -> None:
    rows = [TagRow(7, "red"), TagRow(9, ""), TagRow(7, "long")]
    found = find_examples(sampler, tmp_path, rows)
    assert torch.equal(found.w, sampler.w([7, 9]))
    assert found.tags == (frozenset({"red", "long"}), frozenset())
    assert found.names == ["long", "red"]


def test_projected_pictures_stand_for_their_mean_w(sampler: Sampler, tmp_path: Path) -> None:
    ws = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    put_projection(tmp_path, "hat", ws)
    found = find_examples(sampler, tmp_path, [TagRow("hat", "red"), TagRow(1, "")])
    assert torch.allclose(found.w[1], ws.mean(0))
    assert found.tags == (frozenset(), frozenset({"red"}))


def test_refuses_projections_that_are_missing_or_of_another_model(
    sampler: Sampler, tmp_path: Path
) -> None:
    put_projection(tmp_path, "hat", torch.zeros(5, 8))
    with pytest.raises(SetupError, match=r"of shape \(6, 8\), has \(5, 8\)"):
        find_examples(sampler, tmp_path, [TagRow("hat", "red")])
    for name in ("shoe", "../projections/hat", "hat/"):
        with pytest.raises(SetupError, match="it has hat"):
            find_examples(sampler, tmp_path, [TagRow(name, "red")])


def test_a_damaged_projection_is_named(sampler: Sampler, tmp_path: Path) -> None:
    folder = put_projection(tmp_path, "hat", torch.zeros(6, 8))
    (folder / "facts.json").write_text("{")  # as every command sees it
    with pytest.raises(SetupError, match="hat is damaged"):
        find_examples(sampler, tmp_path, [TagRow("hat", "red")])
