"""Asking services over HTTP: an endpoint with retries, chat completions, rerank APIs, and the answers kept."""
