"""Run `lineage` in a process that sends itself a signal in a given batch. Usage: RANK SIGNAL BATCH ARGUMENTS...

Under torchrun, only the process of that rank does so, unless it was restarted. With SIGSTOP, the others wait 30 s.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta

from lineage.cli.main import main
from training.loop import distributed
from training.loop.engine import TrainLoop

if __name__ == "__main__":
    rank, number, batches_left = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chosen = os.environ.get("RANK", rank) == rank and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if number == signal.SIGSTOP:
        distributed.TIMEOUT = timedelta(seconds=30)
    add_gradients = TrainLoop._add_gradients

    def add_gradients_or_signal(self: TrainLoop, *arguments: object) -> object:
        global batches_left
        batches_left -= 1
        if batches_left == 0 and chosen:
            os.kill(os.getpid(), number)
        return add_gradients(self, *arguments)

    TrainLoop._add_gradients = add_gradients_or_signal
    sys.exit(main(sys.argv[4:]))
