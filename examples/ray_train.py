"""Train on a Ray cluster: each worker of Ray Train runs `lineage train`, as torchrun would.

    python examples/ray_train.py --workers 2 -- --model yolov7-tiny --data /data/bccd --runs /runs --batch 32 --job 7

Needs `ray[train]` beside the extra `training`, and equal paths on all machines. Workers that Ray starts again resume
the run of the job.
"""

from __future__ import annotations

import argparse

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer


def train_rank(settings: dict[str, list[str]]) -> None:
    """Train as one rank of the process group that Ray has set up.

    Raises:
        RuntimeError: The command failed. Its log has the reason.
    """
    from lineage.cli.main import main  # on the worker: the machine that starts it may lack torch

    if code := main(["train", *settings["options"]]):
        raise RuntimeError(f"lineage train ended with exit code {code}; the log above has the reason")


def read_arguments() -> argparse.Namespace:
    """Return the options of Ray, and those of the command after `--`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="ranks (%(default)s)")
    parser.add_argument("--cpus", type=int, default=1, help="cores of a rank (%(default)s)")
    parser.add_argument("--gpu", action="store_true", help="train each rank on a GPU")
    parser.add_argument("--max-failures", type=int, default=3, help="restarts of all ranks (%(default)s)")
    parser.add_argument("options", nargs="+", help="options of `lineage train`, after --")
    return parser.parse_args()


if __name__ == "__main__":
    given = read_arguments()
    TorchTrainer(
        train_rank,
        train_loop_config={"options": given.options},
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if given.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=given.workers, use_gpu=given.gpu, resources_per_worker={"CPU": given.cpus}
        ),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=given.max_failures)),
    ).fit()
