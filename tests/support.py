"""What tests of several rooms share: a small collection, a tiny encoder, a config, a reporter that remembers."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from crossforge_train.reporting import Advance, SilentReporter

TOY_QUERY = "bread oven yeast"
# What a training picks for each `auto`, with the toy model; `distillation_weight` is up to the test.
PICKED: dict[str, Any] = {
    "lora": None,
    "merge": [],
    "precision": "fp32",
    "learning_rate": 1e-4,
    "head_learning_rate": 1e-3,
    "epochs": 1.0,
    "evaluations": 2,
    "dev_queries": 100,
    "max_length": 48,
}

TOPICS = {
    "baking": "bread dough oven flour yeast crust loaf knead butter pastry",
    "sailing": "boat sail wind harbour anchor rudder mast tide crew deck",
    "gardening": "soil seed plant prune water compost root bloom weed shade",
    "cycling": "bike pedal chain wheel brake saddle gear helmet road climb",
    "music": "chord melody rhythm guitar piano tune song bass tempo note",
    "chess": "pawn rook bishop knight queen king castle check gambit endgame",
}
FILLER = ["the", "a", "of", "in", "with", "for", "and", "on", "is", "are", "how", "why", "when", "old", "new", "good"]
FILLER += ["many", "some"]


def make_documents(per_topic: int = 12, seed: int = 0) -> list[dict[str, str]]:
    """Documents that each hold words of one topic; every title is distinct."""
    draw = random.Random(seed)
    documents = []
    for topic, words in TOPICS.items():
        for number in range(per_topic):
            chosen = draw.sample(words.split(), 5) + draw.choices(FILLER, k=8)
            draw.shuffle(chosen)
            documents.append({"_id": f"{topic}-{number}", "title": f"{topic} {number}", "text": " ".join(chosen)})
    return documents


def make_queries(documents: list[dict[str, str]], count: int, seed: int) -> list[tuple[str, str]]:
    """(query text, id of the document that it was made from) pairs, distinct texts."""
    draw = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        document = draw.choice(documents)
        words = [word for word in document["text"].split() if word not in FILLER]
        found.setdefault(" ".join(draw.sample(words, 3)), document["_id"])
    return list(found.items())


def marked(path: Path) -> Path:
    """The same file as an editor of another system saves it: with a byte order mark, and packed if its name says so."""
    content = codecs.BOM_UTF8 + path.read_bytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_collection(folder: Path, *, train: int = 48, test: int = 24, seed: int = 0) -> Path:
    """A small collection in BEIR layout."""
    documents = make_documents(seed=seed)
    queries = make_queries(documents, train + test, seed)
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", [{"_id": f"q{n}", "text": text} for n, (text, _) in enumerate(queries)])
    for split, rows in (("train", range(train)), ("test", range(train, train + test))):
        lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\t{queries[n][1]}\t1" for n in rows)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def documents_with_definitions(count: int = 90, seed: int = 3) -> list[dict[str, str]]:
    """Documents of six sentences each, one of them a definition, under distinct titles."""
    draw = random.Random(seed)
    documents = []
    for number in range(count):
        topic = list(TOPICS)[number % len(TOPICS)]
        words = TOPICS[topic].split()
        own = "".join(draw.choices("bcdfglmnprst", k=3)) + "ium"
        lines = [f"{own.title()} is a kind of {draw.choice(words)} for the {topic} of old."]
        lines += [f"The {' and the '.join(draw.sample(words, 3))} go with {own} {n}." for n in range(5)]
        documents.append({"_id": f"d{number}", "title": f"{own} in {topic} {number}", "text": " ".join(lines)})
    return documents


def make_tiny_encoder(folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    words = sorted({*FILLER, *TOPICS, *" ".join(TOPICS.values()).split()} - set(letters))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, *letters, *(f"##{letter}" for letter in letters), *words]
    tokenizer = Tokenizer(models.WordPiece({token: n for n, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=96, initializer_range=0.15,
    )  # fmt: skip
    plain = folder.with_name(folder.name + "-plain")
    BertModel(config).save_pretrained(plain)
    fast.save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=64)
    SentenceTransformer(modules=[transformer, Pooling(32, "mean")], device="cpu").save(str(folder))
    # As real BERT tokenizers do, and this generic class does not unless it is told to.
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    settings["max_length"] = 8  # left over from when it was made, as in all-MiniLM-L6-v2
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def make_modular(folder: Path, encoder: Path, pooling: str | list[str] = "mean", scores: int = 1) -> Path:
    """A CrossEncoder of sentence-transformers' modules around a tiny encoder: pooling, two dense layers, a norm."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

    torch.manual_seed(4)
    size = 32 * (1 if isinstance(pooling, str) else len(pooling))
    modules = [
        Transformer(str(encoder.with_name(encoder.name + "-plain")), max_seq_length=64),
        Pooling(32, pooling),
        Dense(size, 32, activation_function=torch.nn.GELU()),
        LayerNorm(32),
        Dense(32, scores, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    CrossEncoder(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    settings = (encoder / "tokenizer_config.json").read_text()
    (folder / "tokenizer_config.json").write_text(settings)
    return folder


DECODER_TEMPLATE = (
    "judge : {% for m in messages %}{% if m.role == 'system' %}{{ m.content }} {% elif m.role == 'query' %}"
    "query : {{ m.content }}\n{% else %}document : {{ m.content }}\nanswer :{% endif %}{% endfor %}"
)


def make_decoder(folder: Path, kind: str = "qwen3", template: str | None = DECODER_TEMPLATE, **settings: Any) -> Path:
    """A random causal language model with the words of the toy collection, and a chat template for pairs."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "yes", "no", "judge", "query", "document", "answer", ":", *map(str, range(10))]
    words += sorted({*FILLER, *TOPICS, *" ".join(TOPICS.values()).split()} - set(words))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=64, padding_side="left"
    )
    fast.chat_template = template
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, head_dim=16,
        num_key_value_heads=1, intermediate_size=64, max_position_embeddings=96, initializer_range=0.3,
        bos_token_id=None, eos_token_id=None, **settings,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }} : {{ m.content }}\n{% endfor %}"


def make_backbone(folder: Path) -> Path:
    """A decoder without a head, whose tokenizer has a chat template and alone names the padding token."""
    from transformers import AutoModel

    make_decoder(folder, template=CHAT_TEMPLATE)
    AutoModel.from_pretrained(folder).save_pretrained(folder)
    return folder


def make_causal_bi_encoder(folder: Path) -> Path:
    """A bi-encoder that was saved as a causal language model, as Qwen3-Embedding was."""
    make_decoder(folder, template=CHAT_TEMPLATE)
    kinds = {"": "base.modules.transformer.Transformer", "1_Pooling": "sentence_transformer.modules.pooling.Pooling"}
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.{kind}"}
        for n, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"embedding_dimension": 32, "pooling_mode": "lasttoken"}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "SentenceTransformer"}))
    return folder


def toy_config(folder: Path, collection: Path, base_model: Path, **sections: dict) -> Path:
    """A config file that runs in seconds; `sections` override or add keys."""
    import yaml

    values = {
        "name": "toy",
        "runs": str(folder / "runs"),
        "base_model": str(base_model),
        "collection": {"beir": str(collection), "dev": 0.25},
        "first_stage": {"kind": "lexical"},
        "mining": {"negatives": 3, "window": 20, "teacher": None},
        "training": {
            "max_length": 48,
            "epochs": 1,
            "distillation_weight": 0,
            "groups_per_batch": 4,
            "evaluations": 3,
            "precision": "fp32",
            "dev_depth": 10,
            "learning_rate": 2e-3,
            "head_learning_rate": 1e-2,
            "merge": [],
        },
        "evaluation": {"depth": 20, "depths": [5, 20], "latency_queries": 2, "permutations": 1000},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section} if isinstance(section, dict) else section
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


class Page(HTMLParser):
    """What a browser would fetch or run, and how many of each element there are."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: dict[str, int] = {}
        self.references: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "srcset")]


class Recorder(SilentReporter):
    """Remembers what a run says of itself."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.bars: list[tuple[str, int]] = []
        self.advances: list[tuple[int, str]] = []

    def started(self, stage: str) -> None:
        self.stages.append(("started", stage))

    def finished(self, stage: str, seconds: float) -> None:
        self.stages.append(("finished", stage))

    def skipped(self, stage: str) -> None:
        self.stages.append(("skipped", stage))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def confirm(self, text: str) -> bool:
        self.notes.append(text)
        return True

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        self.bars.append((title, total))
        yield lambda done=1, text="", total=None: self.advances.append((done, text))

    def stages_that(self, event: str) -> list[str]:
        """The stages that were "started", "finished" or "skipped", in order."""
        return [stage for what, stage in self.stages if what == event]


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


def run_command(*arguments: object, stdin: str = "") -> Outcome:
    """Run `crossforge ARGUMENT ...` in this process."""
    from crossforge_train.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["crossforge", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        with pytest.raises(SystemExit) as stopped:
            main()
    written = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return Outcome(stopped.value.code or 0, *written)


def error_line(outcome: Outcome, status: int = 1) -> str:
    """The one line of a command that failed for a reason that the user can mend."""
    assert outcome.status == status
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    return outcome.err.strip()
