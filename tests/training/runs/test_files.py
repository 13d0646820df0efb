from __future__ import annotations

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.runs.files import write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, "1")
    with path.open() as reader:
        write_atomically(path, "→")
        assert reader.read() == "1"  # an open reader keeps what it opened
    assert path.read_text("utf-8") == "→"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_was_there_stays_when_it_cannot_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.mkdir()
    with pytest.raises(TrainingError, match=r"a\.json cannot be written: "):
        write_atomically(path, "2")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
