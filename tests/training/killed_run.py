"""Run `lineage` in a process that sends itself a signal in a given batch. Usage: SIGNAL BATCH ARGUMENTS..."""

from __future__ import annotations

import os
import sys

from lineage.cli.main import main
from training.loop.engine import TrainLoop

if __name__ == "__main__":
    number, batches_left = int(sys.argv[1]), int(sys.argv[2])
    add_gradients = TrainLoop._add_gradients

    def add_gradients_or_signal(self: TrainLoop, *arguments: object) -> object:
        global batches_left
        batches_left -= 1
        if batches_left == 0:
            os.kill(os.getpid(), number)
        return add_gradients(self, *arguments)

    TrainLoop._add_gradients = add_gradients_or_signal
    sys.exit(main(sys.argv[3:]))
