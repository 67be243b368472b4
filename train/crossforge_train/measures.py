"""Parses measures by their ir_measures names."""

from __future__ import annotations

import ir_measures

from crossforge.errors import InputError


def parse_measure(name: str) -> ir_measures.Measure:
    """Parse a measure's name, such as nDCG@10, RR@10, AP or R@100.

    Raises:
        InputError: there is no such measure, or its parameters are missing or invalid.
    """
    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()
        if measure.params.get("cutoff", 1) < 1:
            raise ValueError("a cutoff is 1 or more")
    except (ValueError, NameError, SyntaxError, KeyError, TypeError, AssertionError):
        raise InputError(f"unknown or incomplete measure {name!r}; examples: nDCG@10, RR@10, AP, P@5, R@100") from None
    return measure
