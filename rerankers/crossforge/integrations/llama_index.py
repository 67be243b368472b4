"""LlamaIndex: a node postprocessor. Needs `llama-index-core`."""

from __future__ import annotations

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import ConfigDict, Field

from crossforge.errors import InputError
from crossforge.integrations.ordering import order
from crossforge.reranker import Reranker


class CrossforgeRerank(BaseNodePostprocessor):
    """Orders nodes, best first; the score of a node becomes its calibrated probability.

    The nodes that it is given stay as they are.

    Attributes:
        reranker: scores the nodes.
        top_n: return only so many.
        only_relevant: leave out what the package's threshold says is not relevant.
        metadata_mode: which metadata of a node is read before its text; none unless it says so.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    reranker: Reranker = Field(exclude=True)
    top_n: int | None = Field(default=None, ge=0)
    only_relevant: bool = False
    metadata_mode: MetadataMode = MetadataMode.NONE

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows it."""
        return "CrossforgeRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("reranking needs a query: give query_bundle or query_str")
        texts = [found.node.get_content(metadata_mode=self.metadata_mode) for found in nodes]
        ordered = order(
            self.reranker, query_bundle.query_str, texts, top_k=self.top_n, only_relevant=self.only_relevant
        )
        return [NodeWithScore(node=nodes[position].node, score=found.probability) for position, found in ordered]
