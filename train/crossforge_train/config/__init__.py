"""The config file: one pydantic model a section, its loading, and the wording of its errors."""
