"""A package behind Ray Serve, which starts and ends replicas with the load: `python examples/ray_serve.py PACKAGE`.

Needs `pip install crossforge "ray[serve]"`. On a running cluster, where every node has the package under the same path:
`serve run examples.ray_serve:application package=/path/to/package`.
"""

import argparse
import asyncio
import os
from pathlib import Path
from typing import Annotated

import ray
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from ray import serve

from crossforge import Reranker
from crossforge.threads import THREADS_VARIABLE

CPUS = 1  # of a replica; more of them make a single request faster, more replicas serve more requests
api = FastAPI(title="crossforge on Ray Serve")


class Request(BaseModel):
    """What a client sends."""

    query: Annotated[str, Field(max_length=10_000)]
    documents: Annotated[list[str], Field(max_length=1000)]
    top_n: Annotated[int | None, Field(ge=0)] = None


class Ranked(BaseModel):
    """A document of the request, and its calibrated probability."""

    index: int
    relevance_score: float


@serve.deployment(
    autoscaling_config={"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 8},
    max_ongoing_requests=32,
    ray_actor_options={"num_cpus": CPUS, "runtime_env": {"env_vars": {THREADS_VARIABLE: str(CPUS)}}},
)
@serve.ingress(api)
class RerankService:
    """One replica, with a reranker of its own."""

    def __init__(self, package: str) -> None:
        self.reranker = Reranker(package)
        self.reranker.warmup()

    @api.post("/rerank")
    async def rerank(self, request: Request) -> dict[str, list[Ranked]]:
        """The documents, best first."""
        if not request.query.strip() or not self.reranker.tokenizer.fits(request.query):
            raise HTTPException(422, "the query is empty, or leaves no room for a document")
        scores = await self.scores(request)
        order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n]
        return {"results": [Ranked(index=index, relevance_score=scores[index]) for index in order]}

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.01)
    async def scores(self, requests: list[Request]) -> list[list[float]]:
        """The probabilities of each request's documents; requests that arrive at the same time are scored together."""
        return await asyncio.to_thread(self.score, requests)

    def score(self, requests: list[Request]) -> list[list[float]]:
        """The same in the calling thread."""
        pairs = [(request.query, text) for request in requests for text in request.documents]
        logits = self.reranker.score_pairs(pairs).logits
        each = iter(self.reranker.manifest.calibrator.probabilities(logits).tolist())
        return [[next(each) for _ in request.documents] for request in requests]


def application(arguments: dict[str, str]) -> serve.Application:
    """What `serve run` builds, from its arguments."""
    # Replicas have other working folders.
    package = Path(arguments["package"])
    return RerankService.bind(str(package.absolute()) if package.is_dir() else arguments["package"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--address", help="of a cluster, or 'local', which starts one; default: whichever there is")
    options = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address=options.address)
    serve.start(http_options={"host": "127.0.0.1", "port": options.port})
    serve.run(application({"package": options.package}), blocking=True)
