"""The plug-ins of the toolkit, by the names that a config gives them. To add one: a file, and a line here.

What each of them has to be says the room that it is for; no room is imported here, for types either.
"""

from __future__ import annotations

from typing import Any

from crossforge.plugins import Plugin, Registry

_ROOM = "crossforge_train"
_LOSSES = f"{_ROOM}.losses"
_READERS = f"{_ROOM}.collections.readers"
_MAKERS = f"{_ROOM}.adaptation.makers"

# `Objective`s of losses/matrix.py, minimised on the labels; docs/losses.md says when to use which.
LOSSES: Registry[Any] = Registry(
    "losses",
    "loss",
    {
        "group_softmax": Plugin(f"{_LOSSES}.listwise:group_softmax", "positives against negatives of the same query"),
        "cross_entropy": Plugin(f"{_LOSSES}.listwise:cross_entropy", "the one right document of a group"),
        "multiple_negatives": Plugin(
            f"{_LOSSES}.listwise:multiple_negatives", "the same on scaled sigmoid scores, for in-batch negatives"
        ),
        "binary_cross_entropy": Plugin(
            f"{_LOSSES}.pointwise:binary_cross_entropy", "each document by itself, relevant or not"
        ),
        "mse": Plugin(f"{_LOSSES}.pointwise:mse", "squared distance from labels that are scores"),
        "margin_mse": Plugin(f"{_LOSSES}.pairwise:margin_mse", "squared distance of margins over the first document"),
        "ranknet": Plugin(f"{_LOSSES}.pairwise:ranknet", "every pair in the wrong order counts alike"),
        "ndcg_loss1": Plugin(f"{_LOSSES}.pairwise:ndcg_loss1", "LambdaLoss with the scheme NDCGLoss1"),
        "ndcg_loss2": Plugin(f"{_LOSSES}.pairwise:ndcg_loss2", "LambdaLoss with the scheme NDCGLoss2"),
        "ndcg_loss2pp": Plugin(f"{_LOSSES}.pairwise:ndcg_loss2pp", "LambdaLoss with the scheme NDCGLoss2++"),
        "lambda_rank": Plugin(f"{_LOSSES}.pairwise:lambda_rank", "pairs weighted by what a swap changes in nDCG"),
        "list_net": Plugin(f"{_LOSSES}.listwise:list_net", "the softmax of graded labels"),
        "list_mle": Plugin(f"{_LOSSES}.listwise:list_mle", "the likelihood of the whole order"),
        "p_list_mle": Plugin(f"{_LOSSES}.listwise:p_list_mle", "the same with more weight on the top ranks"),
        "adr_mse": Plugin(f"{_LOSSES}.listwise:adr_mse", "squared distance of soft ranks from the right ranks"),
    },
)

# `Objective`s, minimised on a teacher's scores.
DISTILLATIONS: Registry[Any] = Registry(
    "distillations",
    "distillation",
    {
        "kl": Plugin(f"{_LOSSES}.listwise:kl", "the teacher's softmax over a group"),
        "margin_mse": Plugin(f"{_LOSSES}.pairwise:margin_mse", "the teacher's margins over the first document"),
        "mse": Plugin(f"{_LOSSES}.pointwise:mse", "the teacher's scores themselves"),
        "ranknet": Plugin(f"{_LOSSES}.pairwise:ranknet", "the teacher's order alone"),
    },
)

# `Reader`s of collections/readers/reader.py: the keys of `collection`.
READERS: Registry[Any] = Registry(
    "readers",
    "reader",
    {
        "builtin": Plugin(f"{_ROOM}.collections.pydocs.build:READER", "a collection that comes with crossforge"),
        "beir": Plugin(
            f"{_ROOM}.collections.beir:READER", "a folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv"
        ),
        "files": Plugin(f"{_READERS}.files:READER", "corpus, queries and qrels as JSONL, CSV, TSV or Parquet"),
        "pairs": Plugin(f"{_READERS}.labelled:READER", "a table of queries and relevant texts, or one for each split"),
        "triples": Plugin(f"{_READERS}.labelled:READER", "a table of queries, texts and labels, or one for each split"),
        "trec": Plugin(f"{_READERS}.trec:READER", "TREC documents, topics and qrels"),
        "datasets": Plugin(f"{_READERS}.hugging_face:READER", "a folder or hub id of the `datasets` library"),
        "ir_datasets": Plugin(
            f"{_READERS}.ir_datasets:READER", "an id of the `ir_datasets` library, or one for each split"
        ),
        "flag_embedding": Plugin(
            f"{_READERS}.flag_embedding:READER", "FlagEmbedding's rows of `query`, `pos` and `neg`, or one file a split"
        ),
        "cohere": Plugin(
            f"{_READERS}.cohere:READER", "Cohere's rows of `query`, `relevant_passages` and `hard_negatives`"
        ),
        "ms_swift": Plugin(
            f"{_READERS}.ms_swift:READER", "ms-swift's rows of `messages`, `positive_messages` and `negative_messages`"
        ),
        "tevatron": Plugin(
            f"{_READERS}.tevatron:READER", "Tevatron's rows of `query`, `positive_passages` and `negative_passages`"
        ),
        "sentence_transformers": Plugin(
            f"{_READERS}.sentence_transformers:READER",
            "sentence-transformers' rows of anchor, positive and negatives, or of a query, documents and labels",
        ),
        "llama_index": Plugin(f"{_READERS}.llama_index:READER", "LlamaIndex's `EmbeddingQAFinetuneDataset` as JSON"),
        "langchain": Plugin(f"{_READERS}.langchain:READER", "LangChain's documents, and queries with relevant ids"),
        "clicks": Plugin(f"{_ROOM}.labels.clicks:READER", "documents, and a log of what was shown and clicked"),
        "documents": Plugin(f"{_ROOM}.adaptation.reader:READER", "documents alone, from which pseudo-queries are made"),
        "mix": Plugin(f"{_READERS}.mix:READER", "several sources, each with a weight"),
    },
)

# `TeacherKind`s of mining/teacher.py: the values of `mining.teacher`.
TEACHERS: Registry[Any] = Registry(
    "teachers",
    "teacher",
    {
        "base": Plugin(f"{_ROOM}.mining.bi_encoder:TEACHER", "cosines of the base model, used as a bi-encoder"),
        "scores": Plugin(f"{_ROOM}.mining.scores:TEACHER", "scores of `teacher_scores`, or the collection's own"),
        "rerank_api": Plugin(f"{_ROOM}.mining.rerank_api:TEACHER", "scores of the rerank API that `rerank_api` names"),
        "cross_encoder": Plugin(f"{_ROOM}.mining.cross_encoder:TEACHER", "logits of a reranker: a folder or hub id"),
    },
)

# `MakerFactory`s of adaptation/pseudo_queries.py: the keys of `collection.documents.quotas`.
MAKERS: Registry[Any] = Registry(
    "makers",
    "maker",
    {
        "title": Plugin(f"{_MAKERS}.titles:maker", "titles and headings"),
        "sentence": Plugin(f"{_MAKERS}.sentences:maker", "sentences lifted out of their documents"),
        "keywords": Plugin(f"{_MAKERS}.keywords:maker", "key phrases of a document"),
        "question": Plugin(f"{_MAKERS}.questions:maker", "questions that definitions answer"),
        "generator": Plugin(f"{_MAKERS}.generator:maker", "queries that a model generates"),
        "endpoint": Plugin(f"{_MAKERS}.endpoint:maker", "queries that an endpoint generates"),
    },
)
