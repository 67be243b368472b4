"""The model card: data, recipe, results, limits; no text of the training data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import yaml

from crossforge.long_documents import BEST_WINDOW, FIRST_WINDOW
from crossforge_train.collections.collection import PSEUDO_QUERIES, by_whom_each
from crossforge_train.collections.counts import Counts
from crossforge_train.config.mining import MiningConfig
from crossforge_train.config.run import Config
from crossforge_train.config.training import PickedTraining
from crossforge_train.models.shallower import Kept
from crossforge_train.registries import TEACHERS
from crossforge_train.report.escaping import code, plain
from crossforge_train.report.tables import mixed_in
from crossforge_train.training.history import History

_CARD = """---
{front_matter}---

# {name}

A reranker: it reads a query and a document together and gives one relevance score. Fine-tuned from {base_model} with
crossforge {version} on the collection {collection}, to reorder what a {first_stage} first stage retrieves.{why}

## Use

```python
from crossforge import Reranker

ranked = Reranker("path/to/this/folder").rank("a query", ["a document", "another one"])
```

The folder also loads unchanged with `sentence_transformers.CrossEncoder` and with
`transformers.AutoModelForSequenceClassification`; the model's own output is a logit. {probabilities}

## Results

{results}
## Data

{documents:,} documents; queries: {queries}{pseudo}.{judges} Each training group: one relevant document and up to
{negatives} negatives, {random_negatives} of them random. The others were retrieved for the query, judged to be less
relevant or not relevant, or given as negatives by the collection's source; where these were too few, random ones were
added. Splits are by query. {teacher}

## Recipe

Loss {objective}, {groups:,} groups, {epochs:g} epoch(s), learning rate {learning_rate:g} (head
{head_learning_rate:g}), {groups_per_batch} groups a batch, {max_length} tokens, {precision}, seed {seed}. The best of
{evaluations} checkpoint(s) by {metric} on dev{beside} was kept{merged} ({on_dev}).{student}{texts}

## Limits

It knows the domain and the language of its collection. It reads {max_length} tokens of query and document together;
of a longer document it reads {part}. Probabilities are calibrated on dev queries of this collection and first stage.
"""


_PARTS = {
    BEST_WINDOW: "the passage that matches the query best where `RetrieveAndRerank` chooses one, and the\n"
    "beginning otherwise",
    FIRST_WINDOW: "the beginning",
}


@dataclass(frozen=True)
class Student:
    """The shallower model that ships in place of the trained one: which layers stayed, and how its training went."""

    kept: Kept
    history: History


def model_card(
    config: Config,
    counts: Counts,
    history: History,
    *,
    first_stage: str,
    why: str,
    results: str,
    version: str,
    threshold: float | None = None,
    not_folded: str = "",
    student: Student | None = None,
) -> str:
    """The text of `README.md` in the package.

    Args:
        config: of the run.
        counts: what the collection holds.
        history: how training went.
        first_stage: name of the retriever whose candidates are reranked.
        why: the reason for it if it was chosen automatically, and what the other would have cost; empty if not.
        results: the report in Markdown.
        version: of crossforge.
        threshold: lowest probability at which a document counts as relevant; None if none was chosen.
        not_folded: why the model does not hold its calibration; empty if it does.
        student: what ships in place of the model whose training `history` tells; None if that one does.
    """
    mining, training = config.mining, history.training
    return _CARD.format(
        front_matter=_front_matter(config.base_model),
        name=plain(config.name),
        version=version,
        first_stage=plain(first_stage),
        why=f" That first stage was chosen automatically: {plain(why)}." if why else "",
        base_model=code(config.base_model),
        collection=code(counts.name),
        results=results,
        probabilities=_probabilities(threshold, not_folded),
        documents=counts.documents,
        queries=", ".join(f"{plain(split)} {count:,}" for split, count in counts.queries.items()),
        pseudo=_pseudo(counts),
        judges=_judges(counts),
        negatives=mining.negatives,
        random_negatives=mining.random_negatives,
        teacher=_teacher(mining, training),
        objective=_objective(training),
        groups=history.groups,
        epochs=training.epochs,
        learning_rate=training.learning_rate,
        head_learning_rate=training.head_learning_rate,
        groups_per_batch=training.groups_per_batch,
        max_length=training.max_length,
        precision=training.precision,
        seed=config.seed,
        evaluations=len(history.dev_metrics()),
        metric=config.evaluation.metric,
        merged=mixed_in(history.start_share),
        part=_PARTS[training.long_documents],
        student=_student(student, config.evaluation.metric) if student else "",
        texts=_texts(training),
        beside="" if history.best_fused is None else ", fused with the first stage,",
        on_dev=_on_dev(history),
    )


def _on_dev(history: History) -> str:
    fused = "" if history.best_fused is None else f", fused {history.best_fused:.3f}"
    return f"dev: alone {history.best_dev:.3f}{fused}, first stage {history.first_stage_dev:.3f}"


def _front_matter(base_model: str) -> str:
    found = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "text-ranking",
        "tags": ["cross-encoder", "reranker", "crossforge"],
        "base_model": base_model,
    }
    # Names such as "a: b" or "#c" need quotation marks, and only some need them.
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, default_flow_style=None, width=math.inf)


def _probabilities(threshold: float | None, not_folded: str) -> str:
    if not_folded:
        return (
            f"The model does not hold\nits calibration, since {not_folded}: crossforge applies it, and what other "
            "clients show as a probability is not\ncalibrated."
        )
    at = "" if threshold is None else f" At {threshold:.3f} or more, a\ndocument counts as relevant."
    return f"Its sigmoid, which\nmost clients apply, is the calibrated probability of relevance.{at}"


def _pseudo(counts: Counts) -> str:
    if not counts.pseudo_queries:
        return ""
    kinds = ", ".join(f"{plain(kind)} {found.kept:,}" for kind, found in counts.pseudo_queries.items() if found.kept)
    judged = " and ".join(map(plain, counts.judged_by_people))
    by_people = f"; people judged queries of {judged}" if judged else "; no person judged any of them"
    return f", made from the documents ({kinds}){by_people}"


def _judges(counts: Counts) -> str:
    """Who judged which split, unless it is not known, or said already: that all are pseudo-queries."""
    judges = {
        plain(split): {plain(who): count for who, count in found.items()} for split, found in counts.judges.items()
    }
    said = by_whom_each(judges)
    return f" Judged by {said}." if said not in ("", PSEUDO_QUERIES) else ""


def _objective(training: PickedTraining) -> str:
    terms = {
        code(training.loss): training.label_weight,
        f"{code(training.distillation)} from the teacher": training.distillation_weight,
    }
    return " + ".join(name if weight == 1 else f"{weight:g} × {name}" for name, weight in terms.items() if weight)


def _texts(training: PickedTraining) -> str:
    """What stands around each pair, if the config says anything about it."""
    found = [f"The instruction in its template: {code(training.instruction)}."] if training.instruction else []
    for text, what in ((training.prompts.query, "query"), (training.prompts.document, "document")):
        if text:
            found.append(f"Its tokenizer puts {code(text)} before each {what}.")
    return "".join(f"\n{sentence}" for sentence in found)


def _student(student: Student, metric: str) -> str:
    kept, history = student.kept, student.history
    numbers = [str(number + 1) for number in kept.layers]
    return (
        f"\nThis package is a student of that model: {len(numbers)} of its {kept.of} layers "
        f"({', '.join(numbers[:-1])} and {numbers[-1]}), trained to give its\nscores on the same groups (loss "
        f"{_objective(history.training)}, {history.training.epochs:g} epoch(s), learning rate "
        f"{history.training.learning_rate:g};\n{metric} on dev: {history.best_dev:.3f})."
    )


def _teacher(mining: MiningConfig, training: PickedTraining) -> str:
    if not mining.teachers or not training.uses_teacher:
        return "No teacher."
    if len(mining.teachers) == 1:
        return _only_teacher(mining.teachers[0].name, mining)
    parts = [f"{_scores_of(one.name, mining)} (weight {one.weight:g})" for one in mining.teachers]
    return f"Teacher scores are averages of several, each standardised by query: {'; '.join(parts)}."


def _only_teacher(name: str, mining: MiningConfig) -> str:
    if name == "scores":
        return "Teacher scores were computed elsewhere."
    if name in TEACHERS.third_party:
        return f"Teacher: {_scores_of(name, mining)}."
    if name in TEACHERS.built_in or name == "auto":
        return f"Teacher scores are {_scores_of(name, mining)}."
    return f"Teacher: {code(name)}, a cross-encoder."


def _scores_of(name: str, mining: MiningConfig) -> str:
    """What a teacher's scores are, as a part of a sentence."""
    if name in ("base", "auto"):
        return "cosines of the base model as a bi-encoder"
    if name == "scores":
        return "scores that were computed elsewhere"
    if name == "rerank_api" and mining.rerank_api is not None:
        model = mining.rerank_api.model
        return f"those of a rerank API{f', model {code(model)}' if model else ''}"
    if name in TEACHERS.third_party:
        return f"the plug-in {code(name)}, {plain(TEACHERS.third_party[name].description)}"
    return f"the cross-encoder {code(name)}"
