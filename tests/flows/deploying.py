"""Deployments of a dataset at a real server, as its runner makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.settings import DatasetConfig, parse


def config_of(folder: Path, name: str = "shirts", **sections: Any) -> DatasetConfig:
    raw = {"dataset": {"name": name, "root": "catalog"}, **sections}
    return parse(raw, name="test", folder=folder)


def register(config: DatasetConfig, file: Path) -> dict[str, Any]:
    """Do what the runner does when it starts."""
    from flows.serving import automations, deployments

    for name in deployments.remove_renamed(config, file):
        automations.remove(name)
    ids = {str(d.flow_name): d.apply() for d in deployments.deployments(config, file)}
    automations.register(config, ids)
    return ids
