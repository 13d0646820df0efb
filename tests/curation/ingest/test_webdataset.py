from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curation.ingest.sources import WebDatasetConfig
from curation.recipe import Limits

Picture = Callable[[int], bytes]


def _shard(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _shards(folder: Path, picture: Picture) -> None:
    about = json.dumps({"label": "Hat", "tags": ["x"], "score": 3}).encode()
    _shard(
        folder / "00.tar",
        [
            ("k0.v1.png", b"another ending: no picture of its own"),
            ("k0.jpg", picture(0)),
            ("k0.json", about),
            ("k1.json", json.dumps({"tags": "x y", "score": 30}).encode()),
            ("k1.txt", b"a caption"),
            ("k1.png", picture(1)),
            ("k1.cls", b"7"),
        ],
    )
    _shard(
        folder / "01.tar",
        [
            ("d/k2.webp", picture(2)),
            ("d/k3.json", b"{}"),
            ("../up.jpg", picture(3)),
            ("k4.jpg", b""),
            ("k5.json", b"{broken"),
            ("k5.jpg", picture(5)),
        ],
    )


def test_samples_come_with_what_is_known(tmp_path: Path, run: Any, picture: Picture) -> None:
    _shards(tmp_path, picture)
    config = WebDatasetConfig(path=f"{tmp_path}/{{00..01}}.tar", label="other")
    assert run(config).new == 4
    rows = run.by_locator()
    first, second = rows["00.tar!/k0.jpg"], rows["00.tar!/k1.png"]
    assert (first["label"], first["tags"], first["fields"]) == ("Hat", ["x"], '{"score": 3}')
    assert (second["label"], second["tags"]) == ("7", ["x", "y"])
    assert json.loads(second["fields"]) == {"score": 30, "txt": "a caption"}
    assert rows["01.tar!/d/k2.webp"]["label"] == "other"
    assert json.loads(rows["01.tar!/k5.jpg"]["fields"]) == {
        "json_error": "the sample's .json is not valid"
    }
    assert run.failures() == {
        "01.tar!/d/k3": "not_an_image",
        "01.tar!/../up.jpg": "unsafe_name",
        "01.tar!/k4.jpg": "empty_file",
    }
    again = run(config)
    assert (again.seen, again.known) == (7, 7)


def test_filters(tmp_path: Path, run: Any, picture: Picture) -> None:
    _shards(tmp_path, picture)
    values = {"path": f"{tmp_path}/*.tar", "name": "w", "where": {"score": {"min": 10}}}
    config = WebDatasetConfig.model_validate(values)
    counts = run(config)
    assert counts.new == 1 and counts.filtered == 4
    loose = WebDatasetConfig(path=f"{tmp_path}/*.tar", name="w")
    assert run(loose).new == 3
    assert [r["locator"] for r in run.current(config) if not r["failure"]] == ["00.tar!/k1.png"]


def test_one_sample_cannot_fill_the_memory(tmp_path: Path, run: Any, picture: Picture) -> None:
    one = picture(1)
    members = [(f"k.{ending}", one) for ending in ("jpg", "png", "webp", "gif")]
    _shard(tmp_path / "s.tar", members)
    run.limits = Limits(max_bytes=2 * len(one))
    run(WebDatasetConfig(path=str(tmp_path / "s.tar")))
    assert list(run.failures().values()) == ["file_too_large"] * 2


def test_truncated_shard_keeps_what_came_before(tmp_path: Path, run: Any, picture: Picture) -> None:
    path = tmp_path / "s.tar"
    _shard(path, [(f"{i}.png", picture(i)) for i in range(10)])
    path.write_bytes(path.read_bytes()[: 512 * 25])
    run(WebDatasetConfig(path=str(path)))
    assert run.failures()["s.tar"] == "unreadable"
    assert len(run.images()) >= 3
