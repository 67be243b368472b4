"""Models in folders: the base model and its texts, language models, and the export of what was trained."""
