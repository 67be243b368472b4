"""Training by the workers of a Ray cluster: `python examples/ray_train.py CONFIG --workers 4 --gpu`.

Ray Train starts the processes that `accelerate launch -m crossforge_train.finetune CONFIG` starts on machines of one's
own, and starts all of them again if one is lost; training then goes on from its last checkpoint. All machines need to
see the working folder, and the folder of all runs, under the same path.
Needs `pip install "crossforge[train]" "ray[train]"`.

Mine first, since that takes other workers: `crossforge mine CONFIG --set compute.engine=ray`. Evaluate and package
afterwards: `crossforge train CONFIG`.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

import crossforge_train as ct


def finetune(job: dict[str, Any]) -> None:
    """What every worker does; the first one measures dev, and writes."""
    os.chdir(job["folder"])  # paths in a config are relative to where the command was given
    ct.run(ct.load_config(job["config"], job["overrides"]), until="finetune")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--workers", type=int, default=2, help="processes; groups_per_batch must be a multiple of it")
    parser.add_argument("--gpu", action="store_true", help="one GPU for each")
    parser.add_argument("--restarts", type=int, default=3, help="how many lost workers are made up for")
    parser.add_argument("--address", help="of a cluster, or 'local', which starts one; default: whichever there is")
    options = parser.parse_args()
    config = ct.load_config(options.config, options.overrides)  # what is wrong with it is told before any work
    ray.init(address=options.address)
    TorchTrainer(
        finetune,
        train_loop_config={"folder": str(Path.cwd()), "config": options.config, "overrides": options.overrides},
        scaling_config=ScalingConfig(num_workers=options.workers, use_gpu=options.gpu),
        run_config=RunConfig(
            name=config.name,
            storage_path=str(Path(config.runs, ".ray").absolute()),  # Ray's own records
            failure_config=FailureConfig(max_failures=options.restarts),
        ),
    ).fit()
