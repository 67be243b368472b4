"""The index of terms made and searched by shards of the documents, on any engine, equal to one machine's bit by bit."""
