"""On what partitions are worked off: this machine or a Dask cluster."""
