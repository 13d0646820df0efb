"""`python -m training`; under torchrun, one process a GPU."""

import sys

from training.command import main

if __name__ == "__main__":
    sys.exit(main())
