"""The stages of a run, in order."""

from crossforge.errors import InputError
from crossforge_train.config.run import Config
from crossforge_train.stages import collect, evaluate, finetune, mine, package, second_round, students
from crossforge_train.stages.stage import Stage

STAGES = (collect.STAGE, mine.STAGE, finetune.STAGE, evaluate.STAGE, package.STAGE)


def stages_until(config: Config, last: str) -> list[Stage]:
    """The stages that a config needs, up to and including `last`.

    `finetune` brings its second round, if any, and `evaluate` the students that it picks from.

    Raises:
        InputError: `last` is none of `STAGES`.
    """
    names = [stage.name for stage in STAGES]
    if last not in names:
        raise InputError(f"no stage {last!r} to run until; have {', '.join(names)}")
    wanted: list[Stage] = []
    for stage in STAGES:
        if stage is evaluate.STAGE and config.package.layers:
            wanted += [students.TEACH, *map(students.student, config.package.layers)]
        wanted.append(stage)
        if stage is finetune.STAGE and config.mining.rounds == 2:
            wanted += [second_round.MINE, second_round.FINETUNE]
        if stage.name == last:
            break
    return wanted
