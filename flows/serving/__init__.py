"""Deployments of a dataset at a Prefect server, and the process that runs them."""
