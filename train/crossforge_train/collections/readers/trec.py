"""TREC test collections: documents and topics in TREC's markup (or as id-tab-text lines), and qrels of four columns."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import read_lines
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.assembly import Judgement, Placed, Query, assemble, some
from crossforge_train.collections.readers.grades import whole_number
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import checked_id
from crossforge_train.config.sources import TrecSource

# Only what is a tag: of a name, closed or with attributes that have values. In "x < 5 and y > 2" there is none.
_TAG = re.compile(
    r"<!--(?:(?!-->|<!--).)*-->|<[!?][a-z\[][^<>]*>|</?[a-z][\w:.-]*(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>]+))*\s*/?>",
    re.IGNORECASE | re.DOTALL,
)
_TITLE_TAGS = ("title", "headline", "hl", "ti", "h3")
_TEXT_TAGS = ("text", "abstract", "body")
# Old topics open their fields with the field's name: "<num> Number: 301", "<desc> Description:".
_LABEL = re.compile(r"^\s*(number|topic|description|narrative)\s*:\s*", re.IGNORECASE)
_TOPIC_TAGS = {"title": ("title", "query"), "description": ("desc", "question"), "narrative": ("narr", "narrative")}


class _Block(NamedTuple):
    where: str
    opening: str
    content: str


def read_trec(source: TrecSource) -> Collection:
    """Read documents, topics and judgements; topics without a judgement are kept among the queries.

    Raises:
        InputError: a file cannot be read, a document or topic has no number, or judgements point nowhere.
    """
    documents = (placed for path in source.documents for placed in _documents(path))
    queries = (query for path in source.topics for query in _topics(path, source.topic_field))
    judgements = {
        split: some(_judgements(path), f"{path}: no judgements in it") for split, path in source.qrels.items()
    }
    names = ", ".join(map(str, source.documents))
    return assemble(
        source.documents[0].resolve().parent.name,
        some(documents, f"{names}: no documents in it"),
        queries,
        judgements,
    )


def files_of(source: TrecSource) -> list[Path]:
    """What is read."""
    return [*source.documents, *source.topics, *source.qrels.values()]


def _documents(path: Path) -> Iterator[Placed]:
    if _is_tab_separated(path):
        for where, cells in _tab_separated(path):
            title = cells[1] if len(cells) > 2 else ""
            yield Placed(where, Document(checked_id(cells[0], where), cells[-1], title))
        return
    for block in _blocks(path, "doc"):
        doc_id = checked_id(_field(block, "docno"), block.where)
        title = " ".join(filter(None, (_field(block, tag, "") for tag in _TITLE_TAGS)))
        text = " ".join(filter(None, (_field(block, tag, "") for tag in _TEXT_TAGS)))
        yield Placed(block.where, Document(doc_id, text or _plain(_without(block.content, "docno")), title))


def _topics(path: Path, part: str) -> Iterator[Query]:
    if _is_tab_separated(path):
        for where, cells in _tab_separated(path):
            yield Query(where, checked_id(cells[0], where), cells[-1], {})
        return
    found = False
    for block in (*_blocks(path, "top"), *_blocks(path, "topic")):
        found = True
        number = re.search(r"number\s*=\s*[\"']?([^\s\"'>]+)", block.opening, re.IGNORECASE)
        query_id = number[1] if number else _field(block, "num")
        text = next(filter(None, (_field(block, tag, "") for tag in _TOPIC_TAGS[part])), "")
        if not text:
            raise InputError(f"{block.where}: topic {query_id} has no {part}")
        yield Query(block.where, checked_id(query_id, block.where), text, {})
    if not found:
        raise InputError(f"{path}: no topics in it; expected <top> or <topic>, or a .tsv file of id and text")


def _judgements(path: Path) -> Iterator[Judgement]:
    for number, line in enumerate(read_lines(path), start=1):
        cells, where = line.split(), f"{path}, line {number}"
        if not cells:
            continue
        if len(cells) != 4:
            raise InputError(f"{where}: expected 'query 0 document label', found {len(cells)} columns")
        yield Judgement(where, cells[0], cells[2], whole_number(cells[3], where))


def _is_tab_separated(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".tsv")


def _tab_separated(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Lines of id and text, or id, title and text."""
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) not in (2, 3):
            raise InputError(f"{where}: expected id and text (or id, title and text), tab-separated")
        yield where, cells


def _blocks(path: Path, tag: str) -> Iterator[_Block]:
    """What stands between <tag> and </tag>, each on lines of its own or not; `where` is the line that opens it."""
    opens = re.compile(rf"<{tag}(\s[^<>]*)?>", re.IGNORECASE)
    closes = re.compile(rf"</{tag}>", re.IGNORECASE)
    opened: re.Match[str] | None = None
    where, content = "", list[str]()
    for number, line in enumerate(read_lines(path), start=1):
        rest = line
        while rest:
            if opened is None:
                opened = opens.search(rest)
                if opened is None:
                    break
                where, content, rest = f"{path}, line {number}", [], rest[opened.end() :]
                continue
            closed = closes.search(rest)
            content.append(rest[: closed.start()] if closed else rest)
            if closed is None:
                break
            yield _Block(where, opened[0], "".join(content))
            opened, rest = None, rest[closed.end() :]
    if opened is not None:
        raise InputError(f"{where}: <{tag}> is never closed")


def _field(block: _Block, tag: str, default: str | None = None) -> str:
    """The text in the fields of a name; a field ends at its closing tag, or at the next opening one in old topics."""
    pattern = rf"<{tag}(?:\s[^<>]*)?>(.*?)(?:</{tag}>|(?=<(?:num|title|desc|narr)\b)|\Z)"
    found = re.findall(pattern, block.content, re.IGNORECASE | re.DOTALL)
    if not found and default is None:
        raise InputError(f"{block.where}: no <{tag}> in it")
    return " ".join(_LABEL.sub("", _plain(text)) for text in found)


def _without(content: str, tag: str) -> str:
    return re.sub(rf"<{tag}>.*?</{tag}>", " ", content, flags=re.IGNORECASE | re.DOTALL)


def _plain(markup: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", markup)).split())


READER = Reader(read_trec, lambda source: file_hashes(files_of(source)))
