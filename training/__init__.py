"""Consumes published versions; knows nothing of the catalog or of Prefect."""
