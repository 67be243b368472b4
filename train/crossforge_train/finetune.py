"""Launch scripts call `python -m crossforge_train.finetune CONFIG`, which is `crossforge finetune CONFIG`."""

if __name__ != "__main__":
    raise ImportError("a script for `python -m crossforge_train.finetune CONFIG`, not a module to import")

from crossforge_train.cli import run_script

run_script("finetune")
