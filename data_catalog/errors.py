"""The error tree of the catalog.

CatalogError
├── ConflictError        somebody else wrote first; nothing was written, nothing was lost
├── StorageError         the disk or the object store refused (full, read-only, missing, damaged)
└── VersionNotFoundError no such published version
"""

from __future__ import annotations


class CatalogError(Exception):
    """Base of every error that the catalog raises on purpose."""


class ConflictError(CatalogError):
    """Another writer committed first."""


class StorageError(CatalogError):
    """The storage refused to read or to write."""


class VersionNotFoundError(CatalogError):
    """A published version was asked for that does not exist."""
