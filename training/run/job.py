"""Job of a run: a command that is started again after a failure resumes the run that it started before.

`torchrun --max-restarts`, Kubernetes, Slurm and Ray repeat the same command. The ID of their job and the options name
its run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from training.config import ADAPTER, TrainConfig
from training.run.run_folder import CONFIG


def describe_job(config: TrainConfig) -> dict[str, Any]:
    """Return the ID and the options of a job as a JSON document. It is empty outside a job.

    Without `--rdzv-id`, torchrun draws an ID for the ranks of one machine, and names jobs of several machines "none".
    """
    job = config.job or os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return {} if job == "none" else {"id": job, "options": ADAPTER.dump_python(config, mode="json")}


def find_run(config: TrainConfig) -> Path | None:
    """Return the folder of the run that this job has started before, or None."""
    job = describe_job(config)
    folders = (path.parent for path in sorted(config.runs.glob(f"*/{CONFIG}")))
    return next((folder for folder in folders if job and _read_job(folder) == job), None)


def _read_job(folder: Path) -> object:
    try:
        document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # of another program, or damaged: not a run of this job
        return None
    return document.get("job") if isinstance(document, dict) else None
