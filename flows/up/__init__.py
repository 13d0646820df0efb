"""`nonesuch up`: Prefect's server, the runner and the review page, kept alive together."""
