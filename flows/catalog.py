"""Opens the catalog of a dataset. Without Prefect, which takes seconds to import."""

from __future__ import annotations

from pydantic import SecretStr

from data_catalog.catalog import Catalog
from flows.settings import DatasetConfig


def open_catalog(config: DatasetConfig) -> Catalog:
    """Open the catalog of a dataset."""
    options = {
        key: value.get_secret_value() if isinstance(value, SecretStr) else value
        for key, value in config.dataset.storage_options.items()
    }
    return Catalog(config.dataset.root, options)
