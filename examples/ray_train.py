"""Training by the workers of a Ray cluster: `python examples/ray_train.py CONFIG --workers 4 --gpu`.

Ray Train starts the processes that `accelerate launch -m crossforge_train.finetune CONFIG` starts on machines of one's
own, and starts all of them again if one is lost; training then goes on from its last checkpoint. All machines need to
see the working folder, and the folder of all runs, under the same path.
Needs `pip install "crossforge[train,cli]" "ray[train]"`.

Mine first, since that takes other workers: `crossforge mine CONFIG --set compute.engine=ray`. Evaluate and package
afterwards: `crossforge train CONFIG`.
"""

import argparse
import os
from pathlib import Path
from typing import Any

try:
    import ray
except ModuleNotFoundError:
    raise SystemExit('error: ray is not installed: pip install "ray[train]"') from None
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

import crossforge_train as ct
from crossforge.errors import CrossforgeError, InputError, first_line
from crossforge_train import processes
from crossforge_train.cli.display import RichReporter


def finetune(job: dict[str, Any]) -> str:
    """What every worker does; the first one measures dev, writes, shows the progress, and tells what was wrong."""
    os.chdir(job["folder"])  # paths in a config are relative to where the command was given
    reporter = RichReporter() if processes.is_main() else None
    try:
        ct.run(ct.load_config(job["config"], job["overrides"]), until="finetune", reporter=reporter)
    except CrossforgeError as error:  # which another attempt would only repeat
        return str(error)
    except SystemExit:  # the first worker has failed
        pass
    return ""


def train(options: argparse.Namespace) -> None:
    """Train on the cluster that the command line names.

    Raises:
        CrossforgeError: the config is wrong, or the training fails for a reason that the user can mend.
    """
    config = ct.load_config(options.config, options.overrides)  # what is wrong with it is told before any work
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    connect(options.address)
    require_room(options.workers, {"CPU": options.cpus, "GPU": int(options.gpu)})
    done = TorchTrainer(
        finetune,
        train_loop_config={"folder": str(Path.cwd()), "config": options.config, "overrides": options.overrides},
        torch_config=TorchConfig(timeout_s=int(processes.PATIENCE.total_seconds())),
        scaling_config=ScalingConfig(
            num_workers=options.workers, use_gpu=options.gpu, resources_per_worker={"CPU": options.cpus}
        ),
        run_config=RunConfig(
            name=config.name,
            storage_path=str(Path(config.runs, ".ray").absolute()),  # Ray's own records
            failure_config=FailureConfig(max_failures=options.restarts),
        ),
    ).fit()
    if done.return_value:
        raise CrossforgeError(done.return_value)


def connect(address: str | None) -> None:
    """Join the cluster at an address, or start one.

    Raises:
        InputError: Ray cannot.
    """
    try:
        ray.init(address=address)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"--address {address}: Ray cannot connect ({first_line(error)})") from None


def require_room(workers: int, each: dict[str, int]) -> None:
    """Ray Train would wait without end for processors that the cluster does not have.

    Raises:
        InputError: there are too few for all workers.
    """
    for kind, number in each.items():
        there = ray.cluster_resources().get(kind, 0)
        if workers * number > there:
            raise InputError(
                f"--workers {workers}: they take {workers * number} {kind}s, and the cluster has {there:g}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--workers", type=int, default=2, help="processes; groups_per_batch must be a multiple of it")
    parser.add_argument("--cpus", type=int, default=1, help="of each, which computes with as many threads")
    parser.add_argument("--gpu", action="store_true", help="one GPU for each")
    parser.add_argument("--restarts", type=int, default=3, help="how many times all start again because one was lost")
    parser.add_argument("--address", help="of a cluster, or 'local', which starts one; default: whichever there is")
    options = parser.parse_args()
    try:
        train(options)
    except CrossforgeError as error:
        parser.exit(1, f"error: {error}\n")
