"""Run `lineage` in a process whose files may not grow after its first epoch, as on a full disk. Usage: ARGUMENTS..."""

from __future__ import annotations

import resource
import sys

from lineage.cli.main import main
from training.run.progress import RunLogger

MAX_BYTES = 16_384

if __name__ == "__main__":
    end_epoch = RunLogger.end_epoch

    def end_epoch_and_limit(self: RunLogger, *arguments: object) -> None:
        end_epoch(self, *arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_BYTES, resource.RLIM_INFINITY))

    RunLogger.end_epoch = end_epoch_and_limit
    sys.exit(main(sys.argv[1:]))
