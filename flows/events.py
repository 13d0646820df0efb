"""What happened, told to a running Prefect server. Without Prefect, which takes seconds to import.

Events only hurry: what is due is seen in the catalog and the runs (`flows.loop.due`), so that one
that is lost costs a minute.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Final
from uuid import uuid4

from flows.server import api_of, authority
from flows.settings import DatasetConfig

PUBLISHED: Final = "nonesuch.version.published"
TRAINED: Final = "nonesuch.model.trained"

_SECONDS: Final = 5.0  # for a server that does not answer


def version_published(config: DatasetConfig, version: int, content_hash: str) -> bool:
    """Tell of a published version; gives whether a server took it."""
    payload = {"dataset": config.dataset.name, "version": version, "hash": content_hash}
    return emit(config, PUBLISHED, payload)


def model_trained(config: DatasetConfig, model: str) -> bool:
    """Tell of a model that may judge now; gives whether a server took it."""
    return emit(config, TRAINED, {"dataset": config.dataset.name, "model": model})


def resource_id(dataset: str) -> str:
    """Give the id by which events and automations name a dataset."""
    return f"nonesuch.dataset.{dataset}"


def emit(config: DatasetConfig, event: str, payload: Mapping[str, Any]) -> bool:
    """Send an event, where a server runs. Never raises for a server that does not take it.

    Returns
    -------
    bool
        Whether a server has taken it.
    """
    api = api_of(config)
    if api is None:
        return False
    dataset = config.dataset.name
    body = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {
            "prefect.resource.id": resource_id(dataset),
            "prefect.resource.name": dataset,
        },
        "payload": dict(payload),
    }
    try:
        request = urllib.request.Request(
            f"{api.rstrip('/')}/events",
            data=json.dumps([body]).encode(),
            headers={"Content-Type": "application/json", **authority()},
        )
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return bool(200 <= answer.status < 300)
    except (OSError, HTTPException, ValueError):  # ValueError: an address that is none
        return False
