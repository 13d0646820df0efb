"""Register what follows from what, at the server of PREFECT_API_URL, after `prefect deploy --all`.

python automations.py nonesuch.toml
"""

from __future__ import annotations

import sys
from pathlib import Path

from flows import environment

environment.prepare()

from prefect.client.orchestration import get_client  # noqa: E402

from flows.serving import automations  # noqa: E402
from flows.settings import load  # noqa: E402

FLOWS = ("rebuild", "publish", "train", "rank", "reconcile")

config = load(Path(sys.argv[1]))
with get_client(sync_client=True) as client:
    deployed = {
        flow: client.read_deployment_by_name(f"{flow}/{config.dataset.name}").id for flow in FLOWS
    }
automations.register(config, deployed)
sys.stdout.write(f"automations of {config.dataset.name} are registered\n")
