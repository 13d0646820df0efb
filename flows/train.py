"""Train a GAN on a published version."""

from __future__ import annotations

from prefect import flow

from flows.artifacts import show_end, watching
from flows.finish import finish
from flows.runs import RunSummary
from flows.settings import DatasetConfig
from flows.training_runs import TrainOptions, plan, run_start


@flow(name="train", flow_run_name="train {config.dataset.name}")
def train(config: DatasetConfig, options: TrainOptions | None = None) -> RunSummary:
    """Train, or go on, until the end or a signal to stop; what is left out, `[train]` says."""
    start = plan(config, options or TrainOptions())
    with watching(start.run):
        summary = run_start(start)
    finish(config, [start.run])
    show_end(summary)
    return summary
