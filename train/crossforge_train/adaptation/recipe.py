"""The recipe of `crossforge adapt`, which comes with the package."""

from pathlib import Path

RECIPE = Path(__file__).with_name("adapt.yaml")
