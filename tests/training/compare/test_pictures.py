"""Which grids stand beside each other, and how they get into the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from training.compare.collect import Run
from training.compare.pictures import common_nimg, grid_at, picture_uri


def run(*nimg: int, status: str = "finished") -> Run:
    return Run("x", 1, status=status, grids={n: Path(f"{n}.png") for n in nimg})


def test_grids_of_the_last_time_that_all_have_are_compared() -> None:
    assert common_nimg([run(0, 1000, 2000), run(0, 1000)]) == 1000
    assert common_nimg([run(0, 4000), run(0, 3000, 4000, 5000)]) == 4000


def test_where_only_the_start_is_shared_it_is_the_end_of_the_shorter_one() -> None:
    runs = [run(0, 800, 1600), run(0, 1000, 2000)]
    assert common_nimg(runs) == 1600
    assert [grid_at(one, 1600) for one in runs] == [1600, 1000]
    assert common_nimg([run(500), run(900, 1200)]) == 500
    assert grid_at(run(900, 1200), 500) == 900  # better than none


def test_who_failed_or_has_not_begun_holds_nobody_back() -> None:
    assert common_nimg([run(0, 5000), run(0, status="failed"), run(status="waiting")]) == 5000
    assert common_nimg([run(0, 3000, status="failed")]) == 3000
    assert common_nimg([run(), run()]) is None
    assert common_nimg([]) is None
    assert grid_at(run(), 5000) is None


def test_pictures_are_small_jpeg_files(tmp_path: Path) -> None:
    Image.new("RGB", (2400, 1600), (10, 200, 90)).save(tmp_path / "large.png")
    uri = picture_uri(tmp_path / "large.png")
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.format, image.size) == ("JPEG", (960, 640))
        assert all(abs(a - b) < 4 for a, b in zip(image.getpixel((9, 9)), (10, 200, 90)))  # noqa: B905
    Image.new("RGB", (30, 20)).save(tmp_path / "small.png")
    with Image.open(io.BytesIO(base64.b64decode(picture_uri(tmp_path / "small.png")[23:]))) as one:
        assert one.size == (30, 20)


def test_a_picture_that_is_gone_or_damaged_is_none(tmp_path: Path) -> None:
    assert picture_uri(tmp_path / "gone.png") == ""
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert picture_uri(tmp_path / "torn.png") == ""
