"""The service holds what its OpenAPI says, whatever is sent."""

from itertools import product

import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed")
pytest.importorskip("fastapi", reason="fastapi is not installed: crossforge[serve]")

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import data
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from crossforge import RetrieveAndRerank
from crossforge.pipeline import load_first_stage
from crossforge.service.app import create_app
from crossforge.service.batches import SharedReranker
from crossforge.service.settings import Settings

READING = {"GET /health", "GET /metrics"}
WRITING = {"POST /v2/rerank", "POST /v1/rerank", "POST /rerank", "POST /v1/search", "POST /v1/judgements"}


@pytest.fixture(scope="module")
def api(toy_package, tmp_path_factory):
    reranker = SharedReranker(toy_package)
    search = RetrieveAndRerank(*load_first_stage(toy_package / "first_stage"), reranker)
    judgements = tmp_path_factory.mktemp("judged") / "judgements.tsv"
    settings = Settings(judgements=judgements, allowed_hosts=["testserver"])
    return schemathesis.openapi.from_asgi("/openapi.json", create_app("toy", reranker, search, settings))


def operations(api):
    return {operation.label: operation for operation in (found.ok() for found in api.get_all_operations())}


def test_every_endpoint_is_in_the_schema(api):
    assert set(operations(api)) == READING | WRITING


# In a request that has neither a body nor parameters nothing can be wrong.
@pytest.mark.parametrize(
    ("label", "mode"),
    [*((label, GenerationMode.POSITIVE) for label in sorted(READING)), *product(sorted(WRITING), GenerationMode)],
)
def test_answers_are_those_of_the_schema(api, label, mode):
    @given(data())
    @settings(max_examples=20, suppress_health_check=list(HealthCheck), derandomize=True)
    def check(draw):
        case = draw.draw(operations(api)[label].as_strategy(generation_mode=mode))
        # A query may be valid by the schema and longer than the model reads, or blank: that is 422 with the reason.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    check()
