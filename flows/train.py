"""Train a GAN on a published version."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.runs import RunSummary
from flows.settings import DatasetConfig
from flows.training_runs import TrainOptions, train_run


@flow(name="train", flow_run_name="train {config.dataset.name}")
def train(config: DatasetConfig, options: TrainOptions | None = None) -> RunSummary:
    """Train, or go on, until the end or a signal to stop; what is left out, `[train]` says."""
    summary = train_run(config, options or TrainOptions())
    text = (
        f"Run {summary.name} on version {summary.version}: {summary.status} at "
        f"{summary.kimg:g} of {summary.total_kimg:g} kimg"
    )
    create_markdown_artifact(key="training-run", markdown=f"{text}\n\n`{summary.path}`")
    return summary
