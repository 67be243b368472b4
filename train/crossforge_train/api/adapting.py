"""`adapt`: from documents alone to a packaged reranker."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import require_no_uri
from crossforge_train.adaptation.recipe import RECIPE
from crossforge_train.api.running import Run, load_config, run
from crossforge_train.collections.readers.texts import corpus_name
from crossforge_train.config.run import Config
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import PACKAGE, RunFolder

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def adapt(
    corpus: str | Path,
    *,
    base: str | None = None,
    out: str | Path | None = None,
    recipe: str | Path = RECIPE,
    overrides: Sequence[str] = (),
    until: str = PACKAGE,
    fresh: bool = False,
    reporter: Reporter | None = None,
) -> Run:
    """Adapt a reranker to documents without queries or judgements: make pseudo-queries, train, prove, package.

    Args:
        corpus: documents: JSONL, CSV, TSV, Parquet or text file, BEIR folder, or folder of .md and .txt files.
        base: encoder or reranker to start from: a folder, package or hub id; the recipe's if None.
        out: folder of the run; `runs/adapt-CORPUS` if None.
        recipe: a config whose `collection.documents` reads the corpus.
        overrides: `section.key=value`, as for `--set`.
        until: the last stage to run.
        fresh: repeat finished stages, too.
        reporter: shows progress; silent by default.

    Raises:
        InputError: the documents cannot be read, or yield too few queries.
        RegressionError: as for `run`.

    >>> import crossforge_train as ct
    >>> ct.adapt("docs.jsonl").package  # doctest: +SKIP
    """
    config = adapting_config(Path(corpus), base, Path(out) if out else None, Path(recipe), overrides)
    return run(config, until=until, fresh=fresh, reporter=reporter)


def adapting_config(
    corpus: Path, base: str | None, out: Path | None, recipe: Path, overrides: Sequence[str] = ()
) -> Config:
    """A recipe's config for a corpus; arguments and errors as for `adapt`."""
    values = corpus_values(corpus, run_path(corpus, out))
    if base:
        values.append(f"base_model={json.dumps(base)}")
    return load_config(recipe, [*values, *overrides])


def corpus_values(corpus: Path, run: Path) -> list[str]:
    """Overrides, as for `--set`, that point a recipe to a corpus and to the folder of its run."""
    judged = RunFolder(run).judged
    values = {"runs": run.parent, "name": run.name, "collection.documents.corpus": corpus}
    if (judged / "qrels").is_dir():
        values["collection.documents.judged"] = judged
    return [f"{key}={json.dumps(str(value))}" for key, value in values.items()]


def run_path(corpus: Path, out: Path | None) -> Path:
    """The folder of a corpus's run.

    Raises:
        InputError: the corpus does not exist, or the folder is a URI.
    """
    if not corpus.exists():
        raise InputError(f"{corpus}: no such file or folder")
    if out:
        require_no_uri(out, "a run")
    return out.absolute() if out else Path("runs") / f"adapt-{_NO_NAME.sub('-', corpus_name(corpus))}"
