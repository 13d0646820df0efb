"""Train a GAN on a published version."""

from __future__ import annotations

from prefect import flow

from flows.artifacts import show_end, watching
from flows.settings import DatasetConfig
from flows.trainings.finish import finish
from flows.trainings.launch import TrainOptions, plan, run_start
from flows.trainings.runs import RunSummary


@flow(name="train", flow_run_name="train {config.dataset.name}")
def train(config: DatasetConfig, options: TrainOptions | None = None) -> RunSummary:
    """Train, or go on, until the end or a signal to stop; what is left out, `[train]` says."""
    start = plan(config, options or TrainOptions())
    with watching(start.run):
        summary = run_start(start)
    finish(config, [start.run])
    show_end(summary)
    return summary
