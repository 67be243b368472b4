"""The command `crossforge`. Commands that need only the runtime work without the training stack installed."""

from crossforge_train.cli.app import main, run_script

__all__ = ["main", "run_script"]
