"""`lineage` in a process that sends itself a signal in one of its batches: SIGNAL BATCH, then the command's words."""

from __future__ import annotations

import os
import sys

from lineage.cli.main import main
from training.loop.engine import Engine

if __name__ == "__main__":
    number, left = int(sys.argv[1]), int(sys.argv[2])
    learn_from = Engine._learn_from

    def dying(self: Engine, *arguments: object) -> object:
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)
        return learn_from(self, *arguments)

    Engine._learn_from = dying
    sys.exit(main(sys.argv[3:]))
