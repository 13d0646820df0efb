"""The whole job on small pictures: what is done, what is left alone, and what people decided."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curation.stages.scores import finish_scores, write_scores
from curation.synthetic.drawing import encode
from data_catalog.errors import CatalogError, ConflictError
from data_catalog.garbage import collect
from data_catalog.models import find, register
from data_catalog.tables import Table
from data_catalog.versions import list_versions, read_members, verify
from flows.inspect import why
from tests.curation.faces import draw_face
from tests.data_catalog.test_models import model
from tests.flows.world import World, fill, product

pytestmark = pytest.mark.xdist_group("prefect")

LARGER = {"width": 120, "height": 128}


def smaller(seed: int, share: float = 0.8) -> bytes:
    """Give a smaller copy of a product, as JPEG."""
    picture = Image.fromarray(product(seed))
    size = (round(picture.width * share), round(picture.height * share))
    return encode(np.asarray(picture.resize(size, Image.Resampling.LANCZOS)), ".jpg", 90)


def test_a_first_build_a_second_and_what_changes_between(world: World) -> None:
    fill(world.images, range(6))
    (world.images / "copy.jpg").write_bytes((world.images / "0000.jpg").read_bytes())
    (world.images / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (world.images / "empty.jpg").write_bytes(b"")
    first = world.rebuild()
    assert (first.seen, first.items, first.new, first.standardized) == (9, 8, 7, 7)
    assert (first.accepted, first.failed) == (6, 2)
    assert first.reasons == {"corrupt": 1, "empty_file": 1}
    report = (world.folder / "catalog" / "report.html").read_text()
    assert first.build in report

    # Again: nothing is read, nothing is written.
    packs, versions = world.packs(), world.versions()
    second = world.rebuild()
    assert (second.new, second.standardized) == (0, 0)
    same = {"new", "standardized", "seconds"}
    assert second.model_dump(exclude=same) == first.model_dump(exclude=same)
    assert world.packs() == packs
    assert world.versions() == versions

    # A new image: only it.
    fill(world.images, [10])
    third = world.rebuild()
    assert (third.seen, third.new, third.standardized, third.accepted) == (10, 1, 1, 7)
    assert third.build != first.build
    assert len(world.packs() - packs) == 2  # its bytes, and its standardized picture

    # A threshold: nothing is decoded, verdicts follow. Back again: the same verdicts as before.
    packs = world.packs()
    strict = world.rebuild(rules={"too_small": {"min_side": 121}})
    assert (strict.new, strict.standardized) == (0, 0)
    assert (strict.accepted, strict.rejected, strict.failed) == (0, 7, 2)
    assert strict.reasons["too_small"] == 7
    assert world.packs() == packs
    back = world.rebuild()
    assert back.build == third.build
    assert back.accepted == 7
    assert {verdict for verdict, _ in world.verdicts().values()} == {"accepted", "failed"}

    # A picture that goes, goes from the set, not from the catalog.
    (world.images / "0010.jpg").unlink()
    world.rebuild()
    without = world.publish()
    assert without.items in (6, 7)


def test_a_changed_recipe_standardizes_anew_and_the_old_one_is_still_there(world: World) -> None:
    fill(world.images, range(4))
    world.rebuild()
    rows = world.table("features").num_rows
    changed = world.rebuild(recipe=LARGER)
    assert (changed.new, changed.standardized) == (0, 4)
    assert world.table("features").num_rows == 2 * rows
    assert world.rebuild().standardized == 0
    assert world.rebuild(recipe=LARGER).standardized == 0
    # `invert` is about training: no picture is made anew for it.
    inverted = world.rebuild(recipe={"width": 96, "height": 128, "invert": "always"})
    assert inverted.standardized == 0


def test_a_raised_limit_gives_what_ran_into_it_another_try(world: World) -> None:
    fill(world.images, range(2))
    small = Image.fromarray(product(5, (80, 70)))
    small.save(world.images / "small.jpg", quality=95)
    tight = {"limits": {"max_pixels": 6000}}
    assert world.rebuild(**tight).reasons["too_many_pixels"] == 2
    assert world.rebuild(**tight).standardized == 0
    summary = world.rebuild()
    assert (summary.new, summary.standardized, summary.failed) == (0, 2, 0)
    assert world.rebuild().standardized == 0


def test_publish_twice_gives_one_version(world: World) -> None:
    fill(world.images, range(5))
    with pytest.raises(CatalogError, match="run `nonesuch rebuild` first"):
        world.rebuild()
        world.publish(recipe=LARGER)
    first = world.publish()
    assert (first.version, first.items, first.shards) == (1, 5, 1)
    assert world.publish() == first
    assert verify(first.path) == []
    manifest = json.loads((Path(first.path) / "manifest.json").read_text())
    assert manifest["hash"] == first.hash
    assert manifest["recipe"]["width"] == 96
    assert manifest["summary"]["accepted"] == 5
    assert "storage_options" not in json.dumps(manifest["config"])
    fill(world.images, [9])
    world.rebuild()
    second = world.publish(publish={"samples_per_shard": 4})
    assert (second.version, second.items, second.shards) == (2, 6, 2)
    assert second.hash != first.hash


def test_another_root_and_more_processes_give_the_same_version(
    tmp_path: Path, prefect_server: str
) -> None:
    hashes = []
    for name, workers in (("a", 1), ("b", 2)):
        world = World(tmp_path / name, prefect_server)
        fill(world.images, range(60))  # three chunks of work
        (world.images / "near.jpg").write_bytes(smaller(3))
        world.rebuild(run={"workers": workers})
        hashes.append(world.publish(run={"workers": workers}).hash)
    assert hashes[0] == hashes[1]


def test_the_order_of_arrival_does_not_matter(tmp_path: Path, prefect_server: str) -> None:
    at_once, bit_by_bit = (World(tmp_path / name, prefect_server) for name in ("a", "b"))
    fill(at_once.images, range(6))
    for seeds in ([5, 2], [0], [1, 3, 4]):
        fill(bit_by_bit.images, seeds)
        bit_by_bit.rebuild()
    at_once.rebuild()
    assert at_once.publish().hash == bit_by_bit.publish().hash


def test_labels_and_tags_are_published(world: World) -> None:
    fill(world.images, range(3))
    (world.folder / "about.csv").write_text("image,label,tags\n0000,boot,red blue\n0001,hat,\n")
    sources = [{"kind": "folder", "path": "images", "metadata": "about.csv"}]
    world.rebuild(sources=sources)
    version = world.publish(sources=sources)
    members = {row["image_id"]: row for row in read_members(version.path).to_pylist()}
    boot, hat, plain = (members[world.image_id(f"000{n}.jpg")] for n in range(3))
    assert (boot["label"], sorted(boot["tags"])) == ("boot", ["blue", "red"])
    assert (hat["label"], plain["label"]) == ("hat", None)
    # Another label is another version; no picture is looked at for it.
    (world.folder / "about.csv").write_text("image,label,tags\n0000,shoe,red blue\n0001,hat,\n")
    assert world.rebuild(sources=sources).standardized == 0
    assert world.publish(sources=sources).version == 2


# ---- What people decide. -------------------------------------------------------------------------


def test_flagged_items_wait_for_a_person(world: World) -> None:
    fill(world.images, range(4))
    flag = {"rules": {"too_small": {"min_side": 121, "action": "flag"}}}
    summary = world.rebuild(**flag)
    assert (summary.flagged, summary.accepted) == (4, 0)
    world.decide("0001.jpg", "accepted")
    assert world.publish(**flag).items == 1
    assert world.published() == {world.image_id("0001.jpg")}
    world.decide("0002.jpg", "rejected")
    everything = world.publish(**flag, publish={"include_flagged": True})
    assert everything.items == 3
    assert world.image_id("0002.jpg") not in world.published()


def test_decisions_win_over_rules_and_survive_everything(world: World) -> None:
    fill(world.images, range(4))
    strict: dict[str, Any] = {"rules": {"too_small": {"min_side": 121}}}
    assert world.rebuild(**strict).rejected == 4
    world.decide("0000.jpg", "accepted")
    world.decide("0001.jpg", "rejected")
    summary = world.rebuild(**strict)
    assert (summary.accepted, summary.rejected) == (1, 3)
    assert world.verdicts()["0000.jpg"] == ("accepted", ("too_small", "decided"))
    rows = {row["image_id"]: row for row in world.table("verdicts").to_pylist()}
    assert rows[world.image_id("0000.jpg")]["decided_by"] == "ann"
    assert rows[world.image_id("0002.jpg")]["decided_by"] == "rules"

    # Another threshold, another recipe.
    assert world.rebuild().accepted == 3
    assert world.verdicts()["0001.jpg"] == ("rejected", ("decided",))
    world.rebuild(**strict, recipe=LARGER)
    assert world.verdicts()["0000.jpg"][0] == "accepted"
    assert world.verdicts()["0001.jpg"] == ("rejected", ("too_small", "decided"))

    # Said otherwise later, and taken back.
    world.decide("0001.jpg", "accepted", "bob")
    world.decide("0000.jpg", "undecided")
    summary = world.rebuild(**strict)
    assert world.verdicts()["0001.jpg"][0] == "accepted"
    assert world.verdicts()["0000.jpg"] == ("rejected", ("too_small",))


def _same_pixels(world: World, seed: int, *names: str) -> None:
    for number, name in enumerate(names):
        Image.fromarray(product(seed)).save(world.images / name, compress_level=2 * number + 1)


def test_a_decision_holds_for_pixel_identical_copies(world: World) -> None:
    fill(world.images, range(2))
    _same_pixels(world, 7, "a.png", "b.png")
    assert world.rebuild().reasons == {"pixel_duplicate": 1}
    world.decide("a.png", "rejected")
    world.rebuild()
    assert {world.verdicts()[name][0] for name in ("a.png", "b.png")} == {"rejected"}
    # What is said of a picture itself comes before what is said of its copy, however late that is.
    world.decide("b.png", "accepted")
    world.decide("a.png", "rejected")
    world.rebuild()
    assert world.verdicts()["a.png"][0] == "rejected"
    assert world.verdicts()["b.png"][0] == "accepted"


def test_a_decision_outlives_the_file_it_was_said_of(world: World) -> None:
    fill(world.images, range(2))
    _same_pixels(world, 7, "a.png", "b.png")
    (world.images / "b.png").rename(world.folder / "b.png")
    sources = [{"kind": "folder", "path": "images", "exclude": ["a.png"]}]
    world.rebuild()
    world.decide("a.png", "rejected")
    (world.folder / "b.png").rename(world.images / "b.png")
    world.rebuild(sources=sources)  # a.png is no longer in the set
    assert world.table("verdicts").num_rows == 3
    assert world.verdicts()["b.png"] == ("rejected", ("decided",))


def test_a_copy_of_what_a_person_rejected_does_not_come_in_instead(world: World) -> None:
    fill(world.images, range(3))
    (world.images / "small.jpg").write_bytes(smaller(0))
    world.rebuild()
    assert world.verdicts()["small.jpg"] == ("rejected", ("near_duplicate",))
    world.decide("0000.jpg", "rejected")
    world.rebuild()
    assert world.verdicts()["0000.jpg"] == ("rejected", ("decided",))
    assert world.verdicts()["small.jpg"] == ("rejected", ("near_duplicate",))


def test_rejecting_a_copy_leaves_the_picture_that_is_kept(world: World) -> None:
    fill(world.images, range(3))
    (world.images / "small.jpg").write_bytes(smaller(0))
    world.rebuild()
    world.decide("small.jpg", "rejected")
    world.rebuild()
    assert world.verdicts()["0000.jpg"] == ("accepted", ())
    assert world.verdicts()["small.jpg"] == ("rejected", ("near_duplicate", "decided"))


def test_a_person_may_choose_the_smaller_copy(world: World) -> None:
    fill(world.images, range(2))
    (world.images / "small.jpg").write_bytes(smaller(0))
    world.rebuild()
    world.decide("small.jpg", "accepted")
    summary = world.rebuild()
    assert summary.accepted == 2
    assert world.verdicts()["small.jpg"] == ("accepted", ("decided",))
    assert world.verdicts()["0000.jpg"] == ("rejected", ("near_duplicate",))


def test_what_a_rule_rejects_takes_no_copy_with_it(world: World) -> None:
    # The larger of two copies is out for its shape; the smaller one stays in.
    picture = product(0, (300, 120))
    (world.images / "tall.jpg").write_bytes(encode(picture, ".jpg", 95))
    Image.fromarray(picture).resize((110, 235), Image.Resampling.LANCZOS).save(
        world.images / "less.jpg", quality=95
    )
    odd = {"odd_aspect": {"max_aspect": 2.3}}
    world.rebuild(rules=odd)
    assert world.verdicts()["tall.jpg"] == ("rejected", ("odd_aspect",))
    assert world.verdicts()["less.jpg"] == ("accepted", ())


# ---- By the scores of a discriminator. -----------------------------------------------------------


def score(world: World, means: dict[str, float], name: str = "m@1") -> None:
    """Let a model score the pictures at these places, and make it the current one."""
    recipe = world.config().recipe
    rows = [
        {"item_id": world.image_id(place), "recipe": recipe.id, "model": name, "mean": mean}
        for place, mean in means.items()
    ]
    write_scores(world.catalog, pa.Table.from_pylist(rows))
    finish_scores(world.catalog, recipe, name)
    register(world.catalog, model(name, recipe=recipe.id))


def test_a_set_is_judged_again_when_its_scores_are_others(world: World) -> None:
    world.raw["rank"] = {"on_rebuild": False}
    half: dict[str, Any] = {"rules": {"low_d_score": {"min_percentile": 40.0}}}
    fill(world.images, range(4))
    before = world.rebuild(**half)
    assert (before.accepted, before.flagged) == (4, 0)
    report = world.folder / "catalog" / "report.html"
    assert "discriminator</dt>" not in report.read_text()

    score(world, {"0000.jpg": 1.0, "0001.jpg": 2.0, "0002.jpg": 3.0, "0003.jpg": 4.0})
    first = world.rebuild(**half)
    assert first.reasons == {"low_d_score": 2}
    assert world.verdicts()["0001.jpg"] == ("flagged", ("low_d_score",))
    assert "<dt>discriminator</dt><dd>m@1</dd>" in report.read_text()
    # The same scores: nothing is written, and the answer is the same.
    versions = world.versions()
    assert world.rebuild(**half).build == first.build
    assert world.versions() == versions

    world.decide("0000.jpg", "accepted")
    world.decide("0001.jpg", "rejected")
    world.rebuild(**half)
    # The next model likes none of the two, nor 0002.jpg: only that is asked about.
    score(world, {"0000.jpg": 1.0, "0001.jpg": 3.0, "0002.jpg": 2.0, "0003.jpg": 4.0}, "n@1")
    second = world.rebuild(**half)
    assert (second.accepted, second.rejected, second.flagged) == (2, 1, 1)
    assert world.verdicts()["0002.jpg"] == ("flagged", ("low_d_score",))
    assert world.verdicts()["0000.jpg"] == ("accepted", ("low_d_score", "decided"))
    # Back to the first one.
    register(world.catalog, find(world.catalog, "m@1"))
    assert world.rebuild(**half).flagged == 0


def test_a_catalog_from_before_there_were_scores_goes_on(world: World) -> None:
    world.raw["rank"] = {"on_rebuild": False}
    fill(world.images, range(2))
    first = world.rebuild()
    now = world.catalog.table("verdicts")
    rows = now.read().drop_columns(["d_percentile"])
    Table("verdicts", rows.schema, now.url).replace(rows)
    assert world.rebuild().build == first.build
    assert why(world.config(), "0000.jpg")["items"][0]["verdict"] == "accepted"
    score(world, {"0000.jpg": 1.0, "0001.jpg": 2.0})
    assert world.rebuild().build != first.build
    assert sorted(world.table("verdicts")["d_percentile"].to_pylist()) == [25.0, 75.0]


# ---- Takedown, writers at once, garbage. ---------------------------------------------------------


def test_what_was_forgotten_stays_away(world: World) -> None:
    from data_catalog.forgetting import forget

    fill(world.images, range(4))
    world.rebuild()
    world.publish()
    gone = world.image_id("0002.jpg")
    data = (world.images / "0002.jpg").read_bytes()
    forget(world.catalog, gone, "asked for", rewrite_versions=True)
    assert gone not in world.published()
    (world.images / "again.jpg").write_bytes(data)  # the same bytes at another place
    for recipe in ({}, {"recipe": LARGER}):
        summary = world.rebuild(**recipe)
        assert (summary.items, summary.new) == (3, 0)
    assert gone not in world.table("features")["image_id"].to_pylist()
    world.rebuild()
    version = world.publish()
    assert version.items == 3
    root = world.folder / "catalog"
    assert not [path for path in root.rglob("*") if path.is_file() and data in path.read_bytes()]


def test_two_at_once_one_wins_and_nothing_is_lost(world: World) -> None:
    fill(world.images, range(50))
    errors: list[BaseException] = []
    began = threading.Event()

    def second() -> None:
        began.wait(60)
        for job in (world.rebuild, world.publish, lambda: collect(world.catalog)):
            try:
                job()
            except BaseException as error:
                errors.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    with world.catalog.lock("test"):
        began.set()
        thread.join()
    assert len(errors) == 3
    for error in errors:
        assert isinstance(error, ConflictError)
        assert "holds it for 'test'" in str(error)
        assert "run the same command again" in str(error)
    assert world.packs() == set()
    assert world.rebuild().accepted == 50


def test_gc_takes_what_nothing_refers_to_and_nothing_else(world: World) -> None:
    fill(world.images, range(4))
    world.rebuild()
    version = world.publish()
    kept = world.packs()
    root = world.folder / "catalog"
    orphans = [root / "raw" / f"pack-{1:016x}-{1:016x}.tar", root / "standard" / "old"]
    orphans[0].write_bytes(b"x" * 1024)
    (root / "raw" / ".tmp-0123456789abcdef.tar").write_bytes(b"half a pack")
    (root / "notes.txt").write_text("mine")
    summary = collect(world.catalog)
    assert summary.packs == (f"raw/{orphans[0].name}",)
    assert summary.temporary == ("raw/.tmp-0123456789abcdef.tar",)
    assert world.packs() == kept
    assert (root / "notes.txt").exists()
    assert world.rebuild().standardized == 0
    assert world.publish() == version
    assert verify(version.path) == []


# ---- Odd sets. -----------------------------------------------------------------------------------


def test_no_sources_and_empty_folders_are_an_empty_set(world: World) -> None:
    for sources in ([], [{"kind": "folder", "path": "images"}]):
        summary = world.rebuild(sources=sources)
        assert (summary.seen, summary.items, summary.reasons) == (0, 0, {})
        assert world.rebuild(sources=sources).build == summary.build


def test_nothing_accepted_is_not_published(world: World) -> None:
    fill(world.images, range(2))
    strict = {"rules": {"too_small": {"min_side": 121}}}
    world.rebuild(**strict)
    with pytest.raises(CatalogError, match="nothing to publish: no item is accepted"):
        world.publish(**strict)
    assert list_versions(world.catalog) == []


def test_a_source_that_is_missing_is_a_clear_error_and_costs_nothing(world: World) -> None:
    from curation.errors import SourceError

    fill(world.images, range(2))
    world.rebuild()
    versions = world.versions()
    sources = [{"kind": "folder", "path": "images"}, {"kind": "folder", "path": "nowhere"}]
    with pytest.raises(SourceError, match="nowhere"):
        world.rebuild(sources=sources)
    assert world.versions() == versions


def test_a_source_that_fails_does_not_keep_the_others_waiting(world: World) -> None:
    from curation.errors import SourceError

    fill(world.images, range(3))
    sources = [
        {"kind": "folder", "path": "nowhere"},
        {"kind": "urls", "path": "none.csv", "contact": "test@example.org"},
        {"kind": "folder", "path": "images"},
    ]
    with pytest.raises(SourceError, match=r"(?s)nowhere.*none\.csv"):
        world.rebuild(sources=sources)
    assert world.table("verdicts").num_rows == 3
    assert world.publish().items == 3


def test_several_sources_share_what_they_have_in_common(world: World) -> None:
    import tarfile

    fill(world.images, range(3))
    with tarfile.open(world.folder / "more.tar", "w") as tar:
        tar.add(world.images / "0000.jpg", "x.jpg")
        (world.folder / "new.jpg").write_bytes(encode(product(9), ".jpg"))
        tar.add(world.folder / "new.jpg", "y.jpg")
    sources = [{"kind": "folder", "path": "images"}, {"kind": "archive", "path": "more.tar"}]
    summary = world.rebuild(sources=sources)
    assert (summary.seen, summary.items, summary.new) == (5, 4, 4)
    # Without its source an image is no longer in the set; its bytes stay.
    less = world.rebuild()
    assert (less.seen, less.items) == (3, 3)
    again = world.rebuild(sources=sources)
    assert (again.new, again.standardized, again.build) == (0, 0, summary.build)


def test_crops_of_a_detector_are_items_of_their_own(world: World) -> None:
    two = np.concatenate([draw_face(), draw_face()[:, ::-1]], axis=1)
    Image.fromarray(two).save(world.images / "faces.png")
    fill(world.images, [1])
    detector = {"cascade": "haarcascade_frontalface_alt", "min_neighbors": 3, "min_size": 60}
    recipe = {"width": 96, "height": 128, "detector": detector}
    summary = world.rebuild(recipe=recipe)
    crops = [i for i in world.table("verdicts")["item_id"].to_pylist() if "#" in i]
    assert len(crops) == 2
    assert summary.reasons["nothing_detected"] == 1
    assert world.publish(recipe=recipe).items == summary.accepted
