"""The stages of a run, in order."""

from crossforge_train import collect, evaluate, finetune, mine, package

STAGES = (collect.STAGE, mine.STAGE, finetune.STAGE, evaluate.STAGE, package.STAGE)
