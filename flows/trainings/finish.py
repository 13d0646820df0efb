"""What follows from a training that has come to its end: its model may judge, and is told of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_catalog import models
from data_catalog.models import Model
from flows import events
from flows.catalog import open_catalog
from flows.settings import DatasetConfig
from flows.trainings.models import register_run


def finish(config: DatasetConfig, runs: Sequence[Path], *, judges: bool = True) -> Model | None:
    """Register the model of a run, or of all folds; tell a running server, once, if it judges now.

    Parameters
    ----------
    runs, judges
        As those of `flows.trainings.models.register_run`.

    Returns
    -------
    Model or None
        As `flows.trainings.models.register_run`.
    """
    catalog = open_catalog(config)
    known = {one.model for one in models.all_models(catalog)}
    model = register_run(config, runs, judges=judges)
    if model is None or model.model in known:  # who has registered it has told of it
        return model
    now = models.current(catalog)
    if now is not None and now.model == model.model:
        events.model_trained(config, model.model)
    return model
