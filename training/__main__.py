"""`python -m training`; under torchrun, one process a GPU.

The first word may name what is done with a trained run: `metrics` or `score`. A version in a folder
of such a name is given as `./metrics`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; give the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    # Late: each imports what it needs, and no more.
    match words:
        case ["metrics", *rest]:
            from training.evaluate_command import main as metrics

            return metrics(rest)
        case ["score", *rest]:
            from training.score_command import main as score

            return score(rest)
    from training.command import main as train

    return train(words)


if __name__ == "__main__":
    sys.exit(main())
