"""`python experiments/simulate.py [overrides]` is `invdesign simulate [overrides]`."""

import sys

from invdesign.cli import main

if __name__ == "__main__":
    sys.exit(main(job="simulate"))
