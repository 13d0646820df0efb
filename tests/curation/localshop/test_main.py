from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from curation.localshop.__main__ import main
from curation.localshop.requestlog import read_log
from tests.curation.localshop.conftest import Get


@contextmanager
def opened(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "curation.localshop", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_it_serves_a_folder_until_the_end_of_its_input(
    folder: Path, tmp_path: Path, get: Get
) -> None:
    ready, log = tmp_path / "ready", tmp_path / "log"
    arguments = ("--seed", "4", "--ready-file", str(ready), "--log", str(log), "--until-eof")
    with opened(str(folder), *arguments, "--no-faults") as process:
        url = first_line(process)
        assert get(f"{url}/media/mug-00.jpg").body == (folder / "mug-00.jpg").read_bytes()
        assert get(f"{url}/media/outside.jpg").status == 404
        assert ready.read_text() == f"{url}\n"
        _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, "")
    assert [entry.path for entry in read_log(log)] == ["/media/mug-00.jpg", "/media/outside.jpg"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_on_a_signal(folder: Path, number: int) -> None:
    with opened(str(folder)) as process:
        assert first_line(process).startswith("http://127.0.0.1:")
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert "Traceback" not in said
        assert process.returncode in (0, -number)


def test_the_demo_is_drawn_into_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    def draw(folder: Path, *, seed: int) -> None:
        (folder / "images").mkdir(parents=True)
        Image.new("RGB", (seed, seed)).save(folder / "images" / "mug-0.jpg")

    monkeypatch.setattr("curation.localshop.__main__.write_demo_set", draw)
    seen = visited_while_open(monkeypatch, get, "/media/mug-0.jpg")
    for _ in range(2):  # the second time they are there
        assert main([str(tmp_path / "new"), "--seed", "9"]) == 0
    assert seen == [200, 200]


def visited_while_open(monkeypatch: pytest.MonkeyPatch, get: Get, path: str) -> list[int]:
    """Ask for a path instead of waiting."""
    seen: list[int] = []
    urls: list[str] = []
    monkeypatch.setattr("builtins.print", lambda text, **_: urls.append(text))

    def visit(until_eof: bool) -> None:
        seen.append(get(urls[-1] + path).status)

    monkeypatch.setattr("curation.localshop.__main__._wait", visit)
    return seen


@pytest.mark.parametrize(
    "bad", [lambda p: p / "a.txt", lambda p: p / "a.txt" / "below"], ids=["file", "below a file"]
)
def test_a_folder_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: Callable[[Path], Path]
) -> None:
    (tmp_path / "a.txt").write_text("no folder")
    assert main([str(bad(tmp_path))]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and "another folder" in said.err


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([".", f"--port={port}"])
    assert caught.value.code == 2
    assert "must be from 0 to 65535" in capsys.readouterr().err
