"""Tables of documents that a person may judge."""

JUDGING_COLUMNS = ("query_id", "doc_id", "query", "title", "text")
