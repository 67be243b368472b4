"""ms-swift's rows for rerankers and embeddings.

Source: ms-swift's "Reranker Training". Rows hold `messages`, `positive_messages` and `negative_messages`; those of
earlier versions `query`, `response` and `rejected_response`. The role of a message differs between versions, so that
the last message's text counts.
"""

from __future__ import annotations

from typing import Any

from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.examples import Example, Text, read_rows_as_examples, texts_of
from crossforge_train.collections.readers.reader import Reader, file_hashes
from crossforge_train.collections.readers.tables import Row, text_cell
from crossforge_train.config.other_tools import MsSwiftSource


def read_ms_swift(source: MsSwiftSource) -> Collection:
    """Read the rows of each split.

    Raises:
        InputError: a file cannot be read, or a row is malformed.
    """
    return read_rows_as_examples(source.files, _example)


def _example(row: Row) -> Example:
    if "messages" not in row.values:
        relevant = texts_of(row, "response", required=True)
        negatives = texts_of(row, "rejected_response")
        query, fields = text_cell(row, "query"), {}
    else:
        relevant = _conversations(row, "positive_messages")
        negatives = _conversations(row, "negative_messages")
        if not relevant:
            raise InputError(f"{row.where}: 'positive_messages' is missing or empty")
        query, fields = _last(row, "messages", row.values["messages"]), _system(row.values["messages"])
    return Example(
        row.where, query, [(Text(text), 1) for text in relevant], [Text(text) for text in negatives], fields=fields
    )


def _conversations(row: Row, column: str) -> list[str]:
    value = row.values.get(column) or []
    if not isinstance(value, list):
        raise InputError(f"{row.where}: {column!r} holds {value!r:.60} where a list of lists of messages is expected")
    return [_last(row, column, messages) for messages in value]


def _last(row: Row, column: str, messages: Any) -> str:
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if not isinstance(content, str):
        raise InputError(
            f'{row.where}: {column!r} holds {messages!r:.60} where messages such as {{"role": "user", "content": …}} '
            "are expected"
        )
    return content


def _system(messages: list[Any]) -> dict[str, str]:
    """The instruction that stands before the query, if there is one."""
    said = [found.get("content") for found in messages if isinstance(found, dict) and found.get("role") == "system"]
    return {"prompt": said[0]} if said and isinstance(said[0], str) else {}


READER = Reader(read_ms_swift, lambda source: file_hashes(source.files.values()))
