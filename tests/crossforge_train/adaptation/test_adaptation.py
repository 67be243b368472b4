"""Documents without judgements: pseudo-queries, what is lifted out, splits, the filter, and the command."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Command, Outcome, documents_with_definitions, error_line, marked, run_command, write_lines

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.makers.keywords import KeywordMaker
from crossforge_train.adaptation.makers.questions import QuestionMaker
from crossforge_train.adaptation.makers.sentences import SentenceMaker
from crossforge_train.adaptation.makers.titles import TitleMaker
from crossforge_train.adaptation.pseudo_queries import Span, without
from crossforge_train.adaptation.reader import read_adapted
from crossforge_train.adaptation.texts import sentences
from crossforge_train.collections.collection import PSEUDO_QUERY, judged_by_people
from crossforge_train.collections.readers.texts import read_placed
from crossforge_train.config.documents import DocumentColumns, DocumentsSource
from crossforge_train.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("quickly")


def first(maker: object, document: Document) -> list[str]:
    return [query.text for query in next(iter(maker.make([document])))]  # type: ignore[attr-defined]


def test_sentences_end_where_they_should() -> None:
    text = "Cf. A. Smith et al. on it. It is 3.5 m, e.g. here! so be it .\n\n# Next\nlast"
    assert [text[start:end] for start, end in sentences(text)] == [
        "Cf.", "A. Smith et al. on it.", "It is 3.5 m, e.g. here!", "so be it .", "# Next\nlast"
    ]  # fmt: skip


@given(st.text(alphabet="ab.! \n。", max_size=60))
def test_sentences_are_all_of_a_text_but_its_white_space(text: str) -> None:
    found = list(sentences(text))
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in found)
    assert "".join("".join(text[start:end].split()) for start, end in found) == "".join(text.split())
    assert all(left[1] <= right[0] for left, right in pairwise(found))


@given(
    st.text(alphabet="abc def", max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4)
)
def test_lifting_takes_the_spans_and_nothing_else(text: str, bounds: list[tuple[int, int]]) -> None:
    bounds = [(min(pair), min(max(pair), len(text))) for pair in bounds if min(pair) <= len(text)]
    left = without(Document("d", text), [Span("d", False, *pair) for pair in bounds]).text
    kept = [letter for place, letter in enumerate(text) if not any(start <= place < end for start, end in bounds)]
    assert [letter for letter in left if letter != " "] == [letter for letter in kept if letter != " "]


def test_lifting_leaves_other_documents_and_the_title_alone() -> None:
    document = Document("d", "one two three", "one")
    assert without(document, [Span("d", False, 4, 7), Span("e", False, 0, 3)]) == Document("d", "one three", "one")


def test_one_title_over_several_documents_asks_for_all_of_them() -> None:
    documents = [Document("a", "first answer", "How to sail"), Document("b", "second", "how to sail?"),
                 Document("c", "third", "Baking bread")]  # fmt: skip
    (query,), _, (other,) = TitleMaker(documents, 0).make(documents)
    assert query.doc_ids == ["a", "b"]
    assert [without(document, query.words).title for document in documents] == ["", "", "Baking bread"]
    assert other.doc_ids == ["c"]


def test_a_title_of_very_many_documents_asks_for_none() -> None:
    documents = [Document(str(n), f"text {n}", "Introduction") for n in range(21)]
    assert list(TitleMaker(documents, 0).make(documents)) == [[] for _ in documents]


def test_headings_of_markdown_are_queries_too() -> None:
    document = Document("a", "Well.\n\n## How to rise dough\nWarm it.", "")
    (found,) = TitleMaker([document], 0).make([document])
    assert [query.text for query in found] == ["How to rise dough"]
    assert "How" not in without(document, found[0].words).text


def test_a_sentence_needs_another_one_beside_it() -> None:
    long = "The crust of this bread is hard because the oven was hot."
    assert first(SentenceMaker(0), Document("a", long)) == []
    assert set(first(SentenceMaker(0), Document("a", f"{long} {long.replace('bread', 'loaf')}"))) == {
        long, long.replace("bread", "loaf")
    }  # fmt: skip


def test_keywords_are_rare_phrases_without_stop_words() -> None:
    common = [Document(str(n), "The people of the town talk about the weather.") for n in range(30)]
    document = Document("x", "The people talk about sourdough starters and about a proofing basket of rattan.")
    (found,) = KeywordMaker([*common, document], Analyzer(), 0).make([document])
    assert found
    for query in found:
        words = query.text.split()
        assert len(words) >= 2
        assert not {"the", "about", "and", "of"} & set(words)
        lifted = set(words) - set(without(document, query.words).text.lower().split())
        assert len(lifted) >= 1  # the heaviest word is lifted out


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("Sourdough is a bread that rises by wild yeast.", "What is Sourdough?"),
        ("The spline weights are the factors of each knot.", "What are spline weights?"),
        ("Scurvy is caused by a lack of vitamin C in food.", "What causes Scurvy?"),
        ("An anchor is used to hold a boat in one place.", "What is anchor used for?"),
        ("Gambit refers to an opening that offers a pawn.", "What does Gambit mean?"),
        ("It is a bread that rises by wild yeast.", None),
        ("The man who came is a friend of the family here.", None),
        ("Bread is good and cheap when it is fresh.", None),
    ],
)
def test_definitions_become_questions(sentence: str, question: str | None) -> None:
    document = Document("d", f"{sentence} And more of it follows here.")
    (found,) = QuestionMaker(Analyzer()).make([document])
    assert [query.text for query in found] == ([question] if question else [])
    if found:
        assert without(document, found[0].words).text.endswith("And more of it follows here.")
        assert len(without(document, found[0].words).text) < len(document.text)


def test_templates_are_for_english_only() -> None:
    document = Document("d", "Sourdough is a bread that rises by wild yeast.")
    assert list(QuestionMaker(Analyzer(language="german")).make([document])) == [[]]


def test_a_collection_is_made_of_documents_alone(docs: Path) -> None:
    collection = read_adapted(DocumentsSource(corpus=docs, dev=0.1, test=0.2))
    assert set(collection.splits) == {"train", "dev", "test"}
    owners = {
        split: {doc_id for judged in qrels.values() for doc_id in judged} for split, qrels in collection.splits.items()
    }
    assert not owners["train"] & owners["test"]
    assert not owners["dev"] & owners["test"]
    assert not any(judged_by_people(collection, split) for split in collection.splits)
    assert {fields[PSEUDO_QUERY] for fields in collection.query_fields.values()} == set(collection.made)
    assert sum(found.kept for found in collection.made.values()) == len(collection.queries)
    assert len(set(collection.queries.values())) == len(collection.queries)
    assert [found.text for found in collection.served.values()] == [one["text"] for one in documents_with_definitions()]


def test_what_is_asked_on_dev_and_test_is_lifted_out(docs: Path) -> None:
    collection = read_adapted(DocumentsSource(corpus=docs, dev=0.1, test=0.2, kept_in=1, consistency=None))
    lifted = {"dev": 0, "test": 0, "train": 0}
    for split, qrels in collection.splits.items():
        for query_id, judged in qrels.items():
            if collection.query_fields[query_id][PSEUDO_QUERY] in ("title", "sentence"):
                text = collection.queries[query_id]
                copies = [doc_id for doc_id in judged if text in collection.corpus[doc_id].full_text]
                lifted[split] += not copies
                assert not copies or split == "train"
    assert lifted["dev"]
    assert lifted["test"]
    assert lifted["train"] == 0  # kept_in: 1 leaves all of these in


def test_a_title_of_very_many_documents_does_not_hold_them_in_one_split(tmp_path: Path) -> None:
    rows = [{**row, "title": "Acme Help Center"} for row in documents_with_definitions(80)]
    write_lines(tmp_path / "docs.jsonl", rows)
    found = read_adapted(DocumentsSource(corpus=tmp_path / "docs.jsonl", dev=0.2, test=0.2))
    assert all(len(qrels) > 3 for qrels in found.splits.values())
    assert "Acme Help Center" not in found.queries.values()


def test_the_order_of_lines_decides_nothing(docs: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write_lines(tmp_path / "other" / "docs.jsonl", documents_with_definitions()[::-1])
    one, other = (
        read_adapted(DocumentsSource(corpus=path, dev=0.1, test=0.2))
        for path in (docs, tmp_path / "other" / "docs.jsonl")
    )
    assert one.queries == other.queries
    assert one.splits == other.splits
    assert {key: found.text for key, found in one.corpus.items()} == {
        key: found.text for key, found in other.corpus.items()
    }
    assert read_adapted(DocumentsSource(corpus=docs, dev=0.1, test=0.2, seed=1)).queries != one.queries


def test_quotas_say_how_many_of_each_kind(docs: Path) -> None:
    quotas = {"title": 1, "sentence": 3, "keywords": 0, "question": 0}
    made = read_adapted(
        DocumentsSource(corpus=docs, queries=80, quotas=quotas, consistency=None, test=0.2, dev=0.2)
    ).made
    assert {kind: found.kept for kind, found in made.items()} == {"title": 20, "sentence": 60}
    lent = read_adapted(
        DocumentsSource(corpus=docs, queries=120, quotas={"title": 5, "sentence": 1, "keywords": 0, "question": 0},
                        consistency=None, test=0.2, dev=0.2)
    ).made  # fmt: skip
    assert lent["title"].kept == 90  # all that there are
    assert lent["sentence"].kept == 30


def test_what_does_not_come_back_is_dropped_and_counted(docs: Path) -> None:
    strict, loose = (
        read_adapted(DocumentsSource(corpus=docs, consistency=k, dev=0.1, test=0.2)).made for k in (1, None)
    )
    assert sum(found.not_brought_back for found in strict.values()) > 10
    assert not any(found.not_brought_back for found in loose.values())


def test_a_model_may_bring_back_what_the_first_stage_does_not(docs: Path, tiny_encoder: Path) -> None:
    alone, helped = (
        sum(found.not_brought_back for found in read_adapted(
            DocumentsSource(corpus=docs, consistency=1, consistency_model=model, dev=0.1, test=0.2)
        ).made.values())
        for model in (None, str(tiny_encoder))
    )  # fmt: skip
    assert helped < alone


def test_a_document_is_never_emptied(docs: Path) -> None:
    collection = read_adapted(DocumentsSource(corpus=docs, per_document=10, consistency=None, kept_in=0))
    left = [len(collection.corpus[doc_id].text) / len(whole.text) for doc_id, whole in collection.served.items()]
    assert len(left) == 90
    assert 0.35 <= min(left) < 0.6, "all that may be taken of a document is 60%"


def test_too_few_documents_are_told(tmp_path: Path) -> None:
    write_lines(tmp_path / "docs.jsonl", documents_with_definitions(2))
    with pytest.raises(InputError, match=r"docs.jsonl: \d+ pseudo-queries came of these documents, none of them for"):
        read_adapted(DocumentsSource(corpus=tmp_path / "docs.jsonl"))


def read(corpus: Path) -> list[Document]:
    return [placed.document for placed in read_placed(corpus, DocumentsSource(corpus=corpus).columns)]


def test_documents_are_read_from_many_kinds_of_places(tmp_path: Path, toy_collection: Path) -> None:
    assert len(read(toy_collection)) == 72
    (tmp_path / "lines.txt").write_text("one\n\ntwo\n")
    assert read(tmp_path / "lines.txt") == [Document("0", "one"), Document("1", "two")]
    (tmp_path / "table.csv").write_text("id,title,text,page\n7,A,some text,3\n")
    assert read(tmp_path / "table.csv") == [Document("7", "some text", "A", {"page": "3"})]
    folder = tmp_path / "handbook"
    (folder / "sub part").mkdir(parents=True)
    (folder / "a.md").write_text("# Sails\n\nThey catch wind.\n## Care\nDry them.\n")
    (folder / "sub part" / "b.txt").write_text("# no title here")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    assert read(folder) == [
        Document("a.md", "They catch wind.\n## Care\nDry them.", "Sails"),
        Document("sub_part/b.txt", "# no title here"),
    ]


def test_a_byte_order_mark_does_not_hide_a_heading(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Sails\n\nThey catch wind.\n")
    marked(tmp_path / "a.md")
    source = DocumentsSource(corpus=tmp_path)
    (found,) = (placed.document for placed in read_placed(source.corpus, source.columns))
    assert found == Document("a.md", "They catch wind.", "Sails")


def test_tables_without_ids_are_numbered_and_docid_is_an_id(tmp_path: Path) -> None:
    def ids(*rows: dict[str, str]) -> list[str]:
        write_lines(tmp_path / "docs.jsonl", list(rows))
        source = DocumentsSource(corpus=tmp_path / "docs.jsonl")
        return [placed.document.doc_id for placed in read_placed(source.corpus, source.columns)]

    assert ids({"text": "a"}, {"text": "b"}) == ["0", "1"]
    assert ids({"docid": "x", "text": "a"}, {"docid": "0", "text": "b"}) == ["x", "0"]
    with pytest.raises(InputError, match="line 2: an id, where the documents before have none"):
        ids({"text": "a"}, {"docid": "x", "text": "b"})


def test_named_columns_are_used(tmp_path: Path) -> None:
    (tmp_path / "table.tsv").write_text("key\thead\tbody\n7\tA\tsome text\n")
    source = DocumentsSource(corpus=tmp_path / "table.tsv", columns={"id": "key", "title": "head", "text": "body"})
    (placed,) = read_placed(source.corpus, source.columns)
    assert placed.document == Document("7", "some text", "A")


@pytest.mark.parametrize(
    ("row", "columns", "expected"),
    [
        ({"body": "all", "text": "some"}, {"text": "body"}, Document("0", "all")),
        ({"text": "some", "body": "all"}, {"text": "body"}, Document("0", "all")),
        ({"title": "T", "body": "all"}, {"text": "body"}, Document("0", "all", "T")),
        ({"name": "N", "title": "T", "text": "all", "n": 3}, {"title": "name"}, Document("0", "all", "N", {"n": 3})),
        ({"title": "T", "name": "N", "text": "all"}, {"title": "name"}, Document("0", "all", "N")),
        ({"name": None, "title": "T", "text": "all"}, {"title": "name"}, Document("0", "all")),
        ({"title": "all", "text": "T"}, {"title": "text", "text": "title"}, Document("0", "all", "T")),
        ({"title": "all"}, {"text": "title"}, Document("0", "all")),
    ],
)  # fmt: skip
def test_named_columns_are_used_whatever_the_others_are_called(
    tmp_path: Path, row: dict[str, object], columns: dict[str, str], expected: Document
) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (placed,) = read_placed(path, DocumentColumns(**columns))
    assert placed.document == expected


@pytest.mark.parametrize("columns", [{"title": "heading"}, {"text": "heading"}])
def test_a_named_column_that_is_missing_is_told(tmp_path: Path, columns: dict[str, str]) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text('{"title": "T", "text": "all"}\n')
    with pytest.raises(InputError, match="line 1: there is no column 'heading'; columns here: title, text"):
        list(read_placed(path, DocumentColumns(**columns)))


def test_a_folder_without_documents_is_told(tmp_path: Path, crossforge: Command) -> None:
    assert "contains no corpus.jsonl and no .md or .txt file" in error_line(crossforge("adapt", tmp_path))
    assert "no such file or folder" in error_line(crossforge("adapt", tmp_path / "none.jsonl"))


TOY = [
    "collection.documents.dev=0.15", "collection.documents.test=0.3", "collection.documents.queries=120",
    "training.max_length=64", "training.precision=fp32", "training.groups_per_batch=4", "mining.negatives=3",
    "evaluation.depth=10", "evaluation.depths=[5, 10]", "evaluation.permutations=1000", "evaluation.latency_queries=0",
    "package.allow_regression=true",
]  # fmt: skip


def settings(*others: str) -> list[str]:
    return [part for value in (*TOY, *others) for part in ("--set", value)]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, quickly: None) -> tuple[Path, Outcome]:
    """A run on documents alone, and what the command said; treat the run as read-only."""
    folder = tmp_path_factory.mktemp("adapted")
    write_lines(folder / "docs.jsonl", documents_with_definitions())
    out = folder / "runs" / "mine"
    return out, run_command("adapt", folder / "docs.jsonl", "--base", tiny_encoder, "--out", out, *settings())


def test_adapt_goes_from_documents_to_a_package(crossforge: Command, adapted: tuple[Path, Outcome]) -> None:
    run, found = adapted
    assert found.status in (0, 2), found.err
    assert "no person judged these queries" in found.out
    assert "no person judged these queries" in (run / "evaluate" / "report.html").read_text()
    card = (run / "package" / "README.md").read_text()
    assert "no person judged any of them" in card
    assert "no person judged these queries" in card
    counts = RunFolder(run).collected.counts
    assert counts.judged_by_people == []
    assert f"title: {counts.pseudo_queries['title'].made} made, {counts.pseudo_queries['title'].kept} kept" in found.err
    # The package searches whole documents.
    lines = (run / "package" / "first_stage" / "documents.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == [one["text"] for one in documents_with_definitions()]
    one = documents_with_definitions()[0]
    results = crossforge("search", run / "package", one["title"], "--json").json
    assert results["results"][0]["title"]


def test_a_mixture_of_weights_is_chosen_on_dev(toy_package: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    from crossforge_train.training.merging import merge_with_start

    first = AutoModelForSequenceClassification.from_pretrained(toy_package)
    model = AutoModelForSequenceClassification.from_pretrained(toy_package)
    with torch.no_grad():
        model.classifier.weight += 1.0
    # All queries are equally good with 0.25 and 0.5; a single one would have the start.
    values = {0.0: [0.5] * 40, 0.25: [0.7] * 40, 0.5: [0.7] * 40, 1.0: [0.1] * 39 + [1.0]}
    asked = iter(values.values())
    found = merge_with_start(model, toy_package, [1.0, 0.5, 0.25, 0.0], lambda: next(asked), 0)
    assert found.share == 0.5
    assert found.measured == pytest.approx({0.0: 0.5, 0.25: 0.7, 0.5: 0.7, 1.0: 0.1225})
    assert torch.allclose(model.classifier.weight, first.classifier.weight + 0.5)


def test_where_training_changes_nothing_the_start_remains(toy_package: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    from crossforge_train.training.merging import merge_with_start

    model = AutoModelForSequenceClassification.from_pretrained(toy_package)
    first = model.classifier.weight.detach().clone()
    with torch.no_grad():
        model.classifier.weight += 1.0
    assert merge_with_start(model, toy_package, [0.0, 0.5, 1.0], lambda: [0.3, 0.6], 0).share == 1.0
    assert torch.allclose(model.classifier.weight, first)


@pytest.mark.slow
def test_adapting_starts_from_a_package_replays_and_merges(
    crossforge: Command, docs: Path, toy_package: Path, toy_collection: Path, tmp_path: Path
) -> None:
    replay = json.dumps([{"beir": str(toy_collection), "name": "toy", "weight": 0.5}])
    found = crossforge(
        "adapt", docs, "--base", toy_package, "--out", tmp_path / "runs" / "warm",
        *settings(f"collection.replay={replay}", "evaluation.bm25=false"),
    )  # fmt: skip
    assert found.status in (0, 2), found.err
    run = tmp_path / "runs" / "warm"
    counts = RunFolder(run).collected.counts
    shares = counts.training_queries_by_source
    assert 12 < shares["toy"] < 36  # a half of 48
    assert counts.queries["test"] == sum(counts.queries.values()) - counts.queries["train"] - counts.queries["dev"]
    assert counts.judged_by_people == ["train"]
    assert read_json(run / "finetune" / "history.json")["start_share"] == 0.5  # pseudo-queries do not choose
    assert "50% of the weights" in (run / "package" / "README.md").read_text()
    lines = (run / "package" / "first_stage" / "documents.jsonl").read_text().splitlines()
    assert [json.loads(line)["_id"] for line in lines] == [
        one["_id"] for one in documents_with_definitions()
    ]  # no replayed ones
    assert "base model" in found.out  # the reranker that it started from is measured beside it


def test_merging_needs_a_start_that_ranks(crossforge: Command, docs: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    found = crossforge("adapt", docs, "--base", tiny_encoder, "--out", tmp_path / "runs" / "cold",
                       *settings("training.merge=[0.5]", "training.start=fresh_head"))  # fmt: skip
    assert "training.merge mixes in the starting weights" in error_line(found)


@pytest.mark.slow
def test_a_cross_encoder_is_distilled(
    crossforge: Command, docs: Path, tiny_encoder: Path, toy_package: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "taught"
    found = crossforge("adapt", docs, "--base", tiny_encoder, "--out", out, "--quiet",
                       *settings(f"mining.teacher={toy_package}", "evaluation.bm25=false"))  # fmt: skip
    assert found.status in (0, 2), found.err
    group = next(RunFolder(out).mined.groups())
    assert len(group.teacher) == len(group.doc_ids)
    assert read_json(out / "finetune" / "history.json")["training"]["distillation_weight"] == 1


def test_two_replayed_collections_of_one_name_are_refused(docs: Path) -> None:
    from crossforge_train.config.collection import CollectionConfig

    part = {"beir": "some/where"}
    with pytest.raises(ValueError, match="two sources of replay are called where"):
        CollectionConfig(documents=str(docs), replay=[part, part])
    with pytest.raises(ValueError, match="replay goes with a single source"):
        CollectionConfig(mix=[part, {"beir": "else"}], replay=[part])


def judge(crossforge: Command, docs: Path, out: Path, answers: str, *options: object) -> Outcome:
    return crossforge("judge", docs, "--out", out, *options, stdin=answers)


def test_judging_documents_proposes_queries_and_keeps_every_answer(
    crossforge: Command, docs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "fresh"
    found = judge(crossforge, docs, out, "y\nn\ns\nq\n", "--depth", 3)
    assert "2 judged" in found.out
    kept = (out / "judged" / "qrels" / "judged.tsv").read_text().splitlines()
    assert [line.split("\t")[2] for line in kept[1:]] == ["1", "0"]
    to_judge = int(found.out.split(" to judge")[0].split()[-1])
    assert f"{to_judge - 2} to judge" in judge(crossforge, docs, out, "", "--depth", 3).out
    kinds = {
        json.loads(line)["_id"].split("-")[0] for line in (out / "judged" / "queries.jsonl").read_text().splitlines()
    }
    assert kinds == {"keywords", "question"}


def test_judging_reads_the_columns_that_the_recipe_names(crossforge: Command, docs: Path, tmp_path: Path) -> None:
    renamed, out = tmp_path / "renamed.jsonl", tmp_path / "runs" / "renamed"
    rows = [json.loads(line) for line in docs.read_text().splitlines()]
    renamed.write_text("".join(json.dumps({"heading": row["title"], "body": row["text"]}) + "\n" for row in rows))
    columns = ("--set", "collection.documents.columns={title: heading, text: body}")
    refused = judge(crossforge, renamed, out, "q\n")
    assert refused.status == 1
    assert "text" in refused.err
    assert "1 judged" in judge(crossforge, renamed, out, "y\nq\n", *columns).out
    recipe = tmp_path / "labelled.yaml"
    recipe.write_text("collection: {beir: somewhere}\n")
    assert "labelled.yaml" in judge(crossforge, renamed, out, "q\n", "--config", recipe).err


@pytest.mark.slow
def test_twenty_judged_queries_give_a_verdict_and_are_dev_of_the_next_run(
    crossforge: Command, docs: Path, adapted: tuple[Path, Outcome], tmp_path: Path
) -> None:
    run = shutil.copytree(adapted[0], tmp_path / "runs" / "mine")
    queries = tmp_path / "queries.txt"
    queries.write_text("\n".join(f"what is {one['title']}" for one in documents_with_definitions()[:22]) + "\n")
    found = judge(crossforge, docs, run, "y\n" * 200, "--queries", queries, "--depth", 2)
    assert "22 queries with a relevant document" in found.out
    verdict = crossforge("evaluate", "--reranker", run / "package", "--collection", run / "judged", "--split", "judged")
    assert "(22 queries; " in verdict.out
    assert "no person judged" not in verdict.out
    crossforge("adapt", docs, "--base", run / "package", "--out", run, *settings("mining.teacher=null"), "--quiet")
    counts = RunFolder(run).collected.counts
    assert counts.queries["dev"] == 22
    assert counts.judged_by_people == ["dev"]
    assert "people judged queries of dev" in (run / "package" / "README.md").read_text()
    assert "no person judged these queries" in (run / "package" / "README.md").read_text()  # those of test
