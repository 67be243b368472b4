"""Columns of the tables in which people judge documents."""

JUDGING_COLUMNS = ("query_id", "doc_id", "query", "title", "text")
