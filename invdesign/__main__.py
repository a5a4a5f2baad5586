"""`python -m invdesign` is `invdesign`."""

import sys

from invdesign.cli import main

if __name__ == "__main__":
    sys.exit(main())
