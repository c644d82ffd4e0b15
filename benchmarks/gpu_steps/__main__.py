"""Run one step: `python -m benchmarks.gpu_steps STEP OPTIONS`, with the options as JSON.

The last line of the output is the outcome: `ok`, or why the step could not run.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback

from benchmarks.gpu_steps.machine import replace_missing_packages
from benchmarks.gpu_steps.results import CouldNotRun, Options


def outcome_of(step: str, options: Options) -> str:
    """Run a step and return its outcome. Errors become one line, and their traceback goes to the log."""
    try:
        replace_missing_packages()
        importlib.import_module(f"benchmarks.gpu_steps.{step}").run(options)
    except CouldNotRun as error:
        return f"could not run: {error}"
    except ModuleNotFoundError as error:
        traceback.print_exc()
        return f"could not run: the package {error.name} is missing"
    except (Exception, SystemExit) as error:  # whatever a library raises on a machine that nobody has seen
        traceback.print_exc()
        return f"could not run: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return "ok"


if __name__ == "__main__":
    print(outcome_of(sys.argv[1], Options(**json.loads(sys.argv[2]))), flush=True)
