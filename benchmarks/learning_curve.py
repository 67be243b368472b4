"""See whether forecasts of known learning curves hold: `python benchmarks/learning_curve.py`.

Draws power laws of several exponents, gains and sizes, and the values of four trainings on dev: queries differ alike
for all trainings, and each training is off by query and as a whole. Then counts how often the 95% interval of a
forecast holds what more labels truly bring. Takes less than a minute.
"""

from __future__ import annotations

import argparse

import numpy as np

from crossforge_train.learning_curve.fitting import SETTLED, fit_curve

TIMES = (1.25, 2, 4, 8)
EXPONENTS = (0.1, 0.2, 0.35, 0.5, 0.8, 1.0)
LABELLED = (80, 200, 800)
BY_QUERY, DIFFICULTY = 0.15, 0.3  # standard deviations of a training's values on dev
SETTINGS = [(dev, off) for dev in (80, 300) for off in (0.0, 0.004)]


def main() -> None:
    """Print, for each number of dev queries and noise of trainings, how often intervals hold and how wide they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    columns = " | ".join(f"{times:g} times" for times in TIMES)
    print(f"| dev queries | trainings off by | exponent settled | {columns} |\n|---|---|---|{'---|' * len(TIMES)}")
    for dev, off in SETTINGS:
        print(_row(dev, off, options.curves, random))


def _row(dev: int, off: float, curves: int, random: np.random.Generator) -> str:
    held, widths, settled = np.zeros(len(TIMES)), np.zeros(len(TIMES)), 0
    for seed in range(curves):
        labelled, rate, gain = int(random.choice(LABELLED)), float(random.choice(EXPONENTS)), random.uniform(0, 0.1)
        fall = gain / ((labelled / 8) ** -rate - labelled**-rate)
        amounts = [labelled // 8, labelled // 4, labelled // 2, labelled]
        difficulty = random.normal(0, DIFFICULTY, dev)
        values = [
            0.7 - fall * amount**-rate + difficulty + random.normal(0, BY_QUERY, dev) + random.normal(0, off)
            for amount in amounts
        ]
        curve = fit_curve(amounts, np.array(values), seed)
        settled += curve.form == SETTLED
        for place, times in enumerate(TIMES):
            more = round((times - 1) * labelled)
            low, _, high = curve.gain(labelled, more)
            truth = fall * (labelled**-rate - (labelled + more) ** -rate)
            held[place] += low - 1e-9 <= truth <= high + 1e-9
            widths[place] += high - low
    cells = [f"{share:.0%}, {width:.3f} wide" for share, width in zip(held / curves, widths / curves, strict=True)]
    return f"| {dev} | {off:g} | {settled / curves:.0%} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
