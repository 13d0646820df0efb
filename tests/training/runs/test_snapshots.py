from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training.errors import SnapshotError
from training.runs import states
from training.runs.snapshots import (
    Snapshot,
    find,
    load,
    load_weights,
    name_of,
    names,
    newest,
    prune,
    save,
    tidy,
)


def example(number: float = 1.0) -> Snapshot:
    tensors = {
        "G.a": torch.full((3, 2), number),
        "D.b": torch.full((4,), number, dtype=torch.bfloat16),
        "G_ema.a": torch.full((3, 2), -number),
        "G_opt.a.exp_avg": torch.full((3, 2), number / 2),
        "G_opt.a.step": torch.tensor(7),
        "random.cpu": torch.Generator().get_state(),
    }
    return Snapshot(tensors, {"cur_nimg": int(number), "p": 0.1 + 0.2, "config": {"z": [1, None]}})


def same(one: Snapshot, other: Snapshot) -> bool:
    return (
        one.values == other.values
        and one.tensors.keys() == other.tensors.keys()
        and all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    )


def fill(folder: Path, count: int, start: int = 1) -> list[str]:
    made = [name_of(1000 * number) for number in range(start, start + count)]
    for number, name in enumerate(made, start):
        save(folder, name, example(number))
    return made


def test_names_sort_by_age(tmp_path: Path) -> None:
    assert name_of(4096) == "kimg-000004.096"
    for images in (1_000_000_000, 999_999_999, 5, 25_000_000):
        save(tmp_path, name_of(images), example())
    assert names(tmp_path) == [
        "kimg-000000.005",
        "kimg-025000.000",
        "kimg-999999.999",
        "kimg-1000000.000",
    ]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path, name_of(4096), example())
    assert path == tmp_path / "kimg-000004.096"
    assert sorted(entry.name for entry in path.iterdir()) == [
        "optimizers.safetensors",
        "state.json",
        "weights.safetensors",
    ]
    assert same(load(path), example())
    assert load(path).path == path


def test_floats_and_odd_values_come_back(tmp_path: Path) -> None:
    values: dict[Any, Any] = {"third": 1 / 3, "nan": math.nan, 10: "x", 9: (1, 2), "é": "→"}
    back = load(save(tmp_path, name_of(1), Snapshot({}, values))).values
    assert back["third"] == 1 / 3
    assert math.isnan(back["nan"])
    assert (back["10"], back["9"], back["é"]) == ("x", [1, 2], "→")


def test_weights_alone_do_not_need_the_optimizers(tmp_path: Path) -> None:
    path = save(tmp_path, name_of(1), example())
    (path / "optimizers.safetensors").unlink()
    assert set(load_weights(path).tensors) == {"G.a", "D.b", "G_ema.a"}
    assert load_weights(path).values == example().values
    with pytest.raises(SnapshotError, match=r"optimizers\.safetensors is missing"):
        load(path)


def test_one_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    save(tmp_path, name_of(2000), example(22))
    assert same(load(tmp_path / name_of(2000)), example(22))
    assert states.read(tmp_path / name_of(2000)).sequence == 2
    assert len(list(tmp_path.iterdir())) == 2


def truncate(path: Path) -> None:
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def flip(name: str, at: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray((path / name).read_bytes())
        data[at] ^= 1
        (path / name).write_bytes(data)

    return damage


def edit_state(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = json.loads((path / "state.json").read_text())
        (path / "state.json").write_text(json.dumps(change(content)))

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (truncate, r"weights\.safetensors is damaged: must have \d+ bytes, has \d+"),
    "flipped in the tensors": (flip("weights.safetensors", -1), r"weights.*must have SHA-256"),
    "flipped in the header": (flip("optimizers.safetensors", 12), r"optimizers.*SHA-256"),
    "missing file": (lambda p: (p / "weights.safetensors").unlink(), r"weights\S* is missing"),
    "missing state": (lambda p: (p / "state.json").unlink(), r"state\.json is missing"),
    "folder for a file": (
        lambda p: (p / "state.json").unlink() or (p / "state.json").mkdir(),  # type: ignore[func-returns-value]
        r"state\.json cannot be read",
    ),
    "no JSON": (lambda p: (p / "state.json").write_text("{"), r"state\.json.*not valid JSON"),
    "empty": (lambda p: (p / "state.json").write_text(""), r"state\.json.*not valid JSON"),
    "no text": (lambda p: (p / "state.json").write_bytes(b"\xff"), r"state\.json.*not valid JSON"),
    "deep": (lambda p: (p / "state.json").write_text("[" * 100_000), r"state\.json is damaged"),
    "a list": (edit_state(lambda c: [c]), r"state\.json is damaged: not the state"),
    "no format": (edit_state(lambda c: {"values": {}}), r"state\.json is damaged: not the state"),
    "other format": (
        edit_state(lambda c: c | {"format": 2}),
        r"state\.json has format 2, must be 1",
    ),
    "value changed": (
        edit_state(lambda c: c | {"values": c["values"] | {"p": 0.4}}),
        r"state\.json is damaged: must have checksum",
    ),
    "no files": (edit_state(lambda c: c | {"files": {}}), r"state\.json is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named_and_passed_over(tmp_path: Path, kind: str) -> None:
    damage, message = DAMAGES[kind]
    before, last = fill(tmp_path, 2)
    damage(tmp_path / last)
    with pytest.raises(SnapshotError, match=message) as caught:
        load(tmp_path / last)
    assert last in str(caught.value)
    snapshot, told = newest(tmp_path)
    assert snapshot
    assert same(snapshot, example(1))
    assert snapshot.path == tmp_path / before
    assert told == [str(caught.value)]
    assert names(tmp_path) == [before, last]  # it stays where it is


def test_a_damaged_one_is_replaced_when_its_time_comes_again(tmp_path: Path) -> None:
    _, last = fill(tmp_path, 2)
    truncate(tmp_path / last)
    save(tmp_path, last, example(5))
    snapshot, told = newest(tmp_path)
    assert snapshot
    assert same(snapshot, example(5))
    assert told == []


def test_none_where_there_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path / "missing") == (None, [])
    (tmp_path / "kimg-000001.000").write_text("a file of that name is no snapshot")
    (tmp_path / "notes").mkdir()
    assert newest(tmp_path) == (None, [])
    with pytest.raises(SnapshotError, match=r"kimg-000002\.000 is no snapshot"):
        load(tmp_path / "kimg-000002.000")


def test_all_damaged_gives_none_and_says_so(tmp_path: Path) -> None:
    for name in fill(tmp_path, 3):
        truncate(tmp_path / name)
    snapshot, told = newest(tmp_path)
    assert snapshot is None
    assert len(told) == 3
    assert prune(tmp_path, 1, 0) == []


def test_leftovers_go_with_the_next_save_and_reading_removes_nothing(tmp_path: Path) -> None:
    leftover = tmp_path / ".tmp-kimg-000009.000"
    leftover.mkdir()
    (leftover / "weights.safetensors").write_bytes(b"half")
    assert newest(tmp_path) == (None, [])
    assert leftover.exists()
    save(tmp_path, name_of(1), example())
    assert not leftover.exists()


def test_killed_between_the_two_renames_of_a_replacement(tmp_path: Path) -> None:
    path = save(tmp_path, name_of(1), example(3))
    path.rename(tmp_path / f".old-{path.name}")
    snapshot, _ = newest(tmp_path)
    assert snapshot
    assert same(snapshot, example(3))
    tidy(tmp_path)
    assert same(load(path), example(3))
    shutil.copytree(path, tmp_path / f".old-{path.name}")  # killed after the second
    tidy(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_values_that_json_lacks_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save(tmp_path, name_of(1), Snapshot({}, {"x": object()}))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match=r"kimg-000000\.001 cannot be written in .*file"):
        save(tmp_path / "file" / "snapshots", name_of(1), example())


def test_more_than_the_disk_has_is_refused_before_writing(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    free = shutil.disk_usage(tmp_path).free
    # A view of one number, that says it is larger than the disk.
    huge = torch.zeros(1).expand(free // 4 + 1)
    with pytest.raises(SnapshotError, match=r"needs \d+\.\d MB in .*, \d+\.\d MB are free; make"):
        save(tmp_path, name_of(9), Snapshot({"G.a": huge}, {}))
    assert [entry.name for entry in tmp_path.iterdir()] == [name_of(1000)]


def test_prune_keeps_the_newest_and_every_fourth(tmp_path: Path) -> None:
    made = fill(tmp_path, 10)
    removed = prune(tmp_path, 2, 4)
    assert names(tmp_path) == [made[3], made[7], made[8], made[9]]
    assert removed == [name for name in made if name not in names(tmp_path)]
    assert prune(tmp_path, 2, 4) == []
    assert prune(tmp_path, 1, 0) == [made[3], made[7], made[8]]


def test_pruning_at_every_save_keeps_the_same_over_restarts(tmp_path: Path) -> None:
    # Nothing but the folder knows the numbers, so that every save is a restart.
    for number in range(1, 13):
        fill(tmp_path, 1, number)
        prune(tmp_path, 1, 3)
        assert len(names(tmp_path)) <= 1 + number // 3
    assert names(tmp_path) == [name_of(1000 * n) for n in (3, 6, 9, 12)]


def test_numbers_go_on_past_a_damaged_one(tmp_path: Path) -> None:
    made = fill(tmp_path, 3)
    (tmp_path / made[2] / "state.json").write_text("{")
    save(tmp_path, name_of(2500), example())  # trained on from the second
    assert states.read(tmp_path / name_of(2500)).sequence == 3


def test_damaged_ones_are_not_counted_as_kept(tmp_path: Path) -> None:
    made = fill(tmp_path, 5)
    truncate(tmp_path / made[4])
    flip("optimizers.safetensors", -1)(tmp_path / made[2])
    assert prune(tmp_path, 2, 0) == made[:1]
    assert names(tmp_path) == made[1:]
    for name in made[1:4]:
        truncate(tmp_path / name)
    assert prune(tmp_path, 1, 0) == []  # nothing good is left: nothing is removed


def test_a_path_may_be_a_snapshot_or_a_run(tmp_path: Path) -> None:
    made = fill(tmp_path / "snapshots", 3)
    truncate(tmp_path / "snapshots" / made[2])
    good = tmp_path / "snapshots" / made[1]
    assert find(tmp_path) == find(tmp_path / "snapshots") == find(good) == good
    copied = shutil.copytree(good, tmp_path / "renamed")
    assert find(copied) == copied
    for name in made:
        truncate(tmp_path / "snapshots" / name)
    with pytest.raises(SnapshotError, match=r"has only damaged ones \(kimg-000001\.000, "):
        find(tmp_path)
    with pytest.raises(SnapshotError, match=r"missing must be a snapshot or a run.*has none"):
        find(tmp_path / "missing")
