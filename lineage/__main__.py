"""Run `lineage` as `python -m lineage`."""

import sys

from lineage.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
