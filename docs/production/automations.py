"""Register what follows from what, at the server of PREFECT_API_URL, after `prefect deploy --all`.

python automations.py nonesuch.toml
"""

from __future__ import annotations

import sys
from pathlib import Path

from flows import environment

FLOWS = ("rebuild", "publish", "train", "rank", "reconcile")


def main() -> None:
    """Register those of the configuration that is named."""
    environment.prepare()
    # They import Prefect, which reads the environment then.
    from prefect.client.orchestration import get_client

    from flows.serving import automations
    from flows.settings import load

    config = load(Path(sys.argv[1]))
    name = config.dataset.name
    with get_client(sync_client=True) as client:
        deployed = {flow: client.read_deployment_by_name(f"{flow}/{name}").id for flow in FLOWS}
    automations.register(config, deployed)
    sys.stdout.write(f"automations of {name} are registered\n")


if __name__ == "__main__":
    main()
