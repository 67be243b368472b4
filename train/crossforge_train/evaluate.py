"""Launch scripts call `python -m crossforge_train.evaluate CONFIG`, which is `crossforge evaluate CONFIG`."""

if __name__ != "__main__":
    raise ImportError("a script for `python -m crossforge_train.evaluate CONFIG`, not a module to import")

from crossforge_train.cli import run_script

run_script("evaluate")
