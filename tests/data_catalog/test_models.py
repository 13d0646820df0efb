"""Models: which judges there are, and that the one registered last is the current one."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.models import Model, all_models, current, find, register
from data_catalog.schema import MODELS
from tests.data_catalog.conftest import PROCESSES


def model(name: str = "v3-tiny@kimg-000030.000", **values: Any) -> Model:
    sound = Model(
        model=name,
        runs=("v3-tiny",),
        snapshots=(("kimg-000030.000", "kimg-000020.000"),),
        version=3,
        version_hash="ab" * 32,
        recipe="r1",
        height=64,
        width=48,
        kimg=30.0,
    )
    return replace(sound, **values)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "root")


def test_without_a_table_there_is_no_model(catalog: Catalog) -> None:
    assert current(catalog) is None
    assert all_models(catalog) == []
    with pytest.raises(CatalogError, match="there is no model 'x'; registered: none yet"):
        find(catalog, "x")
    assert not Path(catalog.root.path).exists()  # looking makes nothing


def test_a_model_comes_back_as_it_was(catalog: Catalog) -> None:
    folds = model(
        "v3-tiny-2folds@kimg-000030.000",
        runs=("v3-tiny-fold1of2", "v3-tiny-fold2of2"),
        snapshots=(("kimg-000030.000",), ("kimg-000030.000", "kimg-000020.000")),
        version=None,
        version_hash=None,
    )
    before = datetime.now(UTC)
    register(catalog, folds)
    found = current(catalog)
    assert found == folds
    assert found is not None and before <= found.registered_at <= datetime.now(UTC)


def test_the_model_registered_last_is_current_and_each_is_listed_once(catalog: Catalog) -> None:
    a, b = model("a@1"), model("b@1")
    for each in (a, b):
        register(catalog, each)
    assert (current(catalog), all_models(catalog)) == (b, [b, a])
    register(catalog, b)  # it is current already
    assert catalog.table("models").read().num_rows == 2
    register(catalog, find(catalog, "a@1"))  # as `models use` does
    assert (current(catalog), all_models(catalog)) == (a, [a, b])
    more = replace(a, snapshots=(("s2", "s1"),))
    register(catalog, more)  # the same id, registered with other snapshots
    assert all_models(catalog) == [more, b]
    assert find(catalog, "a@1") == more
    with pytest.raises(CatalogError, match="registered: a@1, b@1"):
        find(catalog, "a")


def test_who_is_registered_as_no_judge_never_is_one(catalog: Catalog) -> None:
    a, b = model("a@1"), model("b@1")
    register(catalog, a, judges=False)  # there is no other
    assert current(catalog) == a
    before = catalog.table("models").version()
    assert before is not None
    for _ in range(2):
        register(catalog, b, judges=False)
        assert (current(catalog), all_models(catalog)) == (a, [a, b])
    # One commit: whatever dies or looks in between, `b` is not seen as the judge.
    assert catalog.table("models").version() == before + 1
    register(catalog, b)
    assert (current(catalog), all_models(catalog)) == (b, [b, a])


def test_a_clock_that_was_set_back_changes_no_order(catalog: Catalog) -> None:
    ahead = datetime.now(UTC) + timedelta(days=900)
    row = {
        **{name: getattr(model("old@1"), name) for name in MODELS.names},
        "snapshots": ["s"],
        "registered_at": ahead,
    }
    catalog.table("models").append(pa.Table.from_pylist([row], schema=MODELS))
    register(catalog, model("new@1"))
    found = current(catalog)
    assert found is not None
    assert (found.model, found.registered_at > ahead) == ("new@1", True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "a/b"}, "`model` must be letters"),
        ({"model": "a,b"}, "got 'a,b'"),
        ({"model": ""}, "got ''"),
        ({"runs": ()}, "must have one or more runs"),
        ({"snapshots": ((),)}, "with snapshots of each"),
        ({"runs": ("a", "b")}, "must have one or more runs"),
    ],
)
def test_what_is_no_model_is_refused(catalog: Catalog, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        register(catalog, model(**changes))
    assert current(catalog) is None


def register_some(root: str, names: list[str]) -> None:
    for name in names:
        register(Catalog(root), model(name))


def test_of_models_registered_at_once_none_is_lost(catalog: Catalog) -> None:
    parts = [[f"p{p}@{k}" for k in range(4)] for p in range(2)]
    with ProcessPoolExecutor(2, mp_context=PROCESSES) as pool:
        for job in [pool.submit(register_some, catalog.root.path, part) for part in parts]:
            job.result()
    assert {found.model for found in all_models(catalog)} == {n for part in parts for n in part}
    times = catalog.table("models").read(["registered_at"])["registered_at"].to_pylist()
    assert len(set(times)) == 8
