from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.draws import Truncation
from training.latent.encode import encode, read_facts
from training.latent.images import FACTS_FILE, Wish, write_images
from training.latent.sampler import Sampler
from training.models import load_snapshot

SEVEN = Wish(range(7), Truncation(0.7))


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=4)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_there_is_a_file_for_each_seed_that_says_what_it_is(
    sampler: Sampler, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    written = write_images(sampler, SEVEN, tmp_path, progress=lambda *at: told.append(at))
    assert (written.made, written.there, written.files) == (7, 0, 7)
    assert told[-1] == ("pictures", 7, 7)
    assert len(list(tmp_path.glob("seed*.png"))) == 7
    facts = read_facts(tmp_path / "seed00000003.png")
    assert (facts["seed"], facts["psi"]) == (3, 0.7)
    assert (facts["run"], facts["snapshot"]) == ("plain", sampler.model.name)
    with Image.open(tmp_path / "seed00000003.png") as image:
        (picture,) = sampler.render(sampler.ws([3], Truncation(0.7)))
        assert np.array_equal(np.asarray(image), picture)


def test_the_same_wish_gives_the_same_bytes(sampler: Sampler, tmp_path: Path) -> None:
    for folder, wish in (("a", SEVEN), ("b", replace(SEVEN, seeds=[6, 0, 3, 1, 2, 5, 4, 4]))):
        write_images(sampler, wish, tmp_path / folder)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_what_is_there_is_not_made_again_and_what_is_missing_is(
    sampler: Sampler, tmp_path: Path
) -> None:
    write_images(sampler, SEVEN, tmp_path)
    before = digests(tmp_path)
    (tmp_path / "seed00000002.png").unlink()
    (tmp_path / ".seed00000004.png.part").write_bytes(b"half")  # of one that was killed
    (tmp_path / "seed00000004.png").unlink()
    again = write_images(sampler, SEVEN, tmp_path)
    assert (again.made, again.there) == (2, 5)
    assert digests(tmp_path) == before


def test_a_folder_of_another_wish_is_refused(sampler: Sampler, tmp_path: Path) -> None:
    write_images(sampler, SEVEN, tmp_path)
    with pytest.raises(SetupError, match=r"pictures with `psi` 0\.7, not 1\.0; write to another"):
        write_images(sampler, Wish(range(3)), tmp_path)
    (tmp_path / FACTS_FILE).write_text("[]")
    with pytest.raises(SetupError, match="write to another folder"):
        write_images(sampler, SEVEN, tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (replace(SEVEN, shard=3), replace(SEVEN, shard=2), "`shard` 3, not 2"),
        (replace(SEVEN, shard=3), replace(SEVEN, shard=3, seeds=range(9, 16)), "`seeds`"),
        (replace(SEVEN, shard=3), SEVEN, "`format` 'png', not None"),
        (replace(SEVEN, form="jpeg"), replace(SEVEN, form="jpeg", quality=10), "`quality` 95"),
    ],
)
def test_files_of_another_form_are_not_taken_for_these(
    sampler: Sampler, tmp_path: Path, first: Wish, second: Wish, words: str
) -> None:
    write_images(sampler, first, tmp_path)
    with pytest.raises(SetupError, match=words):
        write_images(sampler, second, tmp_path)


def test_more_seeds_go_into_the_same_folder(sampler: Sampler, tmp_path: Path) -> None:
    write_images(sampler, SEVEN, tmp_path)
    more = write_images(sampler, replace(SEVEN, seeds=range(5, 10)), tmp_path)
    assert (more.made, more.there) == (3, 2)


def test_shards_hold_pictures_and_what_they_are(sampler: Sampler, tmp_path: Path) -> None:
    wish = replace(SEVEN, shard=3, form="jpeg")
    written = write_images(sampler, wish, tmp_path)
    assert written.files == 3
    shards = sorted(tmp_path.glob("*.tar"))
    seeds = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            names = tar.getnames()
            files = {name: tar.extractfile(name) for name in names}
        del files
        with tarfile.open(shard) as tar:
            for name in names:
                file = tar.extractfile(name)
                assert file is not None
                data = file.read()
                if name.endswith(".json"):
                    seeds.append(json.loads(data)["seed"])
                else:
                    with Image.open(io.BytesIO(data)) as image:
                        assert (image.height, image.width) == sampler.size
    assert seeds == list(range(7))
    before = digests(tmp_path)
    shards[1].unlink()
    assert write_images(sampler, wish, tmp_path).made == 3
    assert digests(tmp_path) == before


def test_a_jpeg_says_what_it_is(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
    path = tmp_path / "one.jpg"
    path.write_bytes(encode(picture, "jpeg", {"seed": 3, "label": "ärmel"}))
    assert read_facts(path) == {"seed": 3, "label": "ärmel"}


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_does_not_say_what_it_is_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(SetupError, match=r"x\.png does not say"):
        read_facts(path)
