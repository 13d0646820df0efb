"""Where the loop stands, as the review page shows it: read from the catalog, the runs, Prefect."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pyarrow.compute as pc

from curation.scorers import Scorer
from curation.stages.scores import current_model
from data_catalog import models
from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from flows.loop.notes import read_declined
from flows.review import trainings
from flows.review.prefect import PrefectServer
from flows.settings import ConfigError, DatasetConfig
from review_ui.desk import Remembered
from review_ui.loop import BuildTold, LoopTold, ModelTold, RankingTold, VersionTold
from training.presets import PRESETS

T = TypeVar("T")

# Scores are many; while a ranking runs, each batch makes the table another one.
_RANKINGS_HOLD: Final = 10.0  # seconds
_VERSION: Final = ("version", "items", "shards", "published_at", "hash", "manifest")


class LoopReader:
    """Tells where the loop stands; what did not change is not read again."""

    def __init__(self, config: DatasetConfig, catalog: Catalog, server: PrefectServer) -> None:
        self._config, self._catalog, self._server = config, catalog, server
        self._build = _Kept(catalog, "builds", self._read_build)
        self._versions = _Kept(catalog, "versions", self._read_versions)
        self._models = _Kept(catalog, "models", self._read_models)
        self._rankings = Remembered(self._read_rankings, _RANKINGS_HOLD)

    def __call__(self) -> LoopTold:
        """Tell it. What cannot be found out is named among the problems, and nothing is raised."""
        problems: list[str] = []

        def tried(find: Callable[[], T], otherwise: T) -> T:
            try:
                return find()
            except (CatalogError, ConfigError, OSError, ValueError) as error:
                problems.append(str(error) or type(error).__name__)
                return otherwise

        none: list[Any] = []
        train, found = self._config.train, self._server.state()
        return LoopTold(
            build=tried(self._build.get, None),
            versions=tried(self._tell_versions, none),
            runs=tried(lambda: trainings.told(self._config), none),
            compared_at=tried(lambda: trainings.compared_at(self._config), None),
            models=tried(self._models.get, none),
            rankings=tried(self._rankings.get, none),
            needs_model=not self._config.rank.density,
            presets=list(PRESETS),
            preset=train.preset,
            version=train.version,
            run_name=train.name,
            flows=list(found.flows) if found else [],
            schedules=list(found.schedules) if found else [],
            server=found.server if found else None,
            problems=problems,
        )

    def fresh(self) -> LoopTold:
        """Tell it with all that may have changed a moment ago."""
        self._rankings.forget()
        return self()

    def _read_build(self) -> BuildTold | None:
        rows = self._catalog.table("builds").read(["build", "built_at", "summary"])
        if not rows.num_rows:
            return None
        row = rows.sort_by("built_at").slice(rows.num_rows - 1).to_pylist()[0]
        counts: dict[str, Any] = json.loads(row["summary"])
        names = ("items", "accepted", "flagged", "rejected", "failed")
        return BuildTold(
            id=row["build"],
            built_at=row["built_at"],
            **{name: int(counts.get(name, 0)) for name in names},
        )

    def _tell_versions(self) -> list[VersionTold]:
        known = self._versions.get()
        declined = read_declined(self._catalog) if known else {}
        return [
            version.model_copy(update={"declined": declined[content].why})
            if content in declined
            else version
            for content, version in known
        ]

    def _read_versions(self) -> list[tuple[str, VersionTold]]:
        rows = self._catalog.table("versions").read(list(_VERSION)).sort_by("version")
        return [_version(row) for row in reversed(rows.to_pylist())]

    def _read_models(self) -> list[ModelTold]:
        return [
            ModelTold(
                model=found.model,
                runs=list(found.runs),
                version=found.version,
                kimg=found.kimg,
                registered_at=found.registered_at,
                is_current=number == 0,
            )
            for number, found in enumerate(models.all_models(self._catalog))
        ]

    def _read_rankings(self) -> list[RankingTold]:
        known = ((who, current_model(self._catalog, self._config.recipe, who)) for who in Scorer)
        return [self._ranking(who, model) for who, model in known if model is not None]

    def _ranking(self, scorer: Scorer, model: str) -> RankingTold:
        where = (pc.field("recipe") == self._config.recipe.id) & (pc.field("model") == model)
        rows = self._catalog.table("scores").read(["item_id", "scored_at"], where)
        return RankingTold(
            scorer=scorer.value,
            model=model,
            scored=pc.count_distinct(rows["item_id"]).as_py(),
            ranked_at=pc.max(rows["scored_at"]).as_py(),
        )


def _version(row: dict[str, Any]) -> tuple[str, VersionTold]:
    """Give a version by its hash."""
    manifest = json.loads(row.pop("manifest"))
    return row.pop("hash"), VersionTold(split=manifest.get("split"), **row)


class _Kept:
    """What was read of a table, as long as the table is as it was."""

    def __init__(self, catalog: Catalog, table: str, read: Callable[[], Any]) -> None:
        self._table, self._read = catalog.table(table), read
        self._known: tuple[int, Any] | None = None

    def get(self) -> Any:
        version = self._table.version()
        known = self._known
        if known is None or known[0] != version:
            known = self._known = (version, self._read())
        return known[1]
