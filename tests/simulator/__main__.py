"""``python -m simulator``: write a simulated data set."""

import sys

from .simulate import main

if __name__ == "__main__":
    sys.exit(main())
