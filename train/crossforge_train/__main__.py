"""`python -m crossforge_train`: the command `crossforge`."""

from crossforge_train.cli import main

main()
