"""`python experiments/optimize.py [overrides]` is `invdesign optimize [overrides]`."""

import sys

from invdesign.cli import main

if __name__ == "__main__":
    sys.exit(main(job="optimize"))
