"""Parses measures by their ir_measures names."""

from __future__ import annotations

import ir_measures

from crossforge.errors import InputError


def parse_measure(name: str) -> ir_measures.Measure:
    """Parse a measure's name, such as nDCG@10, RR@10, AP or R@100.

    Raises:
        InputError: there is no such measure, its parameters are missing or invalid, or nothing here computes it.
    """
    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()
        if measure.params.get("cutoff", 1) < 1:
            raise ValueError("a cutoff is 1 or more")
    except (ValueError, NameError, SyntaxError, KeyError, TypeError, AssertionError):
        raise InputError(f"unknown or incomplete measure {name!r}; examples: nDCG@10, RR@10, AP, P@5, R@100") from None
    if not ir_measures.DefaultPipeline.supports(measure):
        raise InputError(
            f"measure {name!r}: nothing that is installed computes it; see https://ir-measur.es for what it needs, or "
            "take nDCG@10, RR@10, AP, P@5 or R@100"
        )
    return measure
