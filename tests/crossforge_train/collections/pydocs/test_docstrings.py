"""Docstrings of every style become a summary and a body."""

import pytest

from crossforge_train.collections.pydocs.docstrings import plain_text, remove_name, split_docstring

NUMPY = """
Return the sum of array elements over a given axis.

Parameters
----------
a : array_like
    Elements to sum.

.. versionadded:: 1.7

See Also
--------
:func:`numpy.mean` : Compute the mean.
"""

TORCH = r"""
sum(input, *, dtype=None) -> Tensor

Returns the sum of all elements in the :attr:`input` tensor. See :class:`~torch.Tensor` for more.

Args:
    input (Tensor): the input tensor.
"""

STDLIB = """str.find(sub[, start[, end]]) -> int

Return the lowest index in S where substring sub is found,
such that sub is contained within S[start:end].  Optional
arguments start and end are interpreted as in slice notation.

Return -1 on failure."""


def test_a_numpy_docstring_splits_below_its_first_sentence() -> None:
    found = split_docstring(NUMPY)
    assert found.summary == "Return the sum of array elements over a given axis."
    assert found.body.startswith("Parameters a : array_like Elements to sum.")
    assert found.body.endswith("See Also numpy.mean : Compute the mean.")
    assert "---" not in found.body
    assert "versionadded" not in found.body


def test_a_torch_docstring_loses_its_signature_and_its_roles() -> None:
    found = split_docstring(TORCH)
    assert found.summary == "Returns the sum of all elements in the input tensor."
    assert found.body.startswith("See torch.Tensor for more. Args: input (Tensor): the input tensor.")


def test_a_stdlib_docstring_loses_its_signature_and_joins_its_lines() -> None:
    found = split_docstring(STDLIB)
    assert found.summary == (
        "Return the lowest index in S where substring sub is found, such that sub is contained within S[start:end]."
    )
    assert found.body.startswith("Optional arguments")
    assert found.body.endswith("Return -1 on failure.")


@pytest.mark.parametrize(
    "signature",
    [
        "f(x)",
        "f(x, y=(1, 2)) -> list",
        "max(a)\nmax(a, b)",
        "numpy.where(condition, [x, y], /)",
        "range(\n  stop)\n-> range",
    ],
)
def test_signatures_above_the_summary_belong_to_neither_half(signature: str) -> None:
    found = split_docstring(f"{signature}\n\nGive the result. And more.")
    assert (found.summary, found.body) == ("Give the result.", "And more.")


def test_a_signature_on_the_line_before_the_summary_is_dropped() -> None:
    assert split_docstring("pow(x, y)\nRaise x to y. Fast.").summary == "Raise x to y."


def test_an_abbreviation_inside_a_sentence_does_not_end_it() -> None:
    assert split_docstring("Use it for e.g. sums. Or not.").summary == "Use it for e.g. sums."


def test_what_differs_between_processes_is_left_out_or_sorted() -> None:
    found = split_docstring(
        "Sample it.\n\n``{'b', 'a'}`` by position is deprecated.\n\n>>> draw(2)\narray([5., 4.])  # may vary\nEnd."
    )
    assert found.body == "{'a', 'b'} by position is deprecated. >>> draw(2) End."


@pytest.mark.parametrize("docstring", ["", "  \n\n ", "f(x)", "f(x)\n\ng(y) -> int"])
def test_a_docstring_without_a_sentence_gives_nothing(docstring: str) -> None:
    found = split_docstring(docstring)
    assert (found.summary, found.body) == ("", "")


def test_a_docstring_of_one_sentence_has_no_body() -> None:
    found = split_docstring("Only this.")
    assert (found.summary, found.body) == ("Only this.", "")


@pytest.mark.parametrize(
    ("markup", "plain"),
    [
        (":func:`sum`", "sum"),
        (":class:`~torch.Tensor`", "torch.Tensor"),
        (":py:meth:`the method <a.b.c>`", "the method"),
        ("``None`` or `x`", "None or x"),
        ("a\n  b\t c", "a b c"),
        ("Notes\n=====\ntext", "Notes text"),
        (".. note:: careful\ntext", "text"),
    ],
)
def test_plain_text_takes_markup_out(markup: str, plain: str) -> None:
    assert plain_text(markup) == plain


@pytest.mark.parametrize(
    ("summary", "name", "left"),
    [
        ("polyfit: Least squares fit.", "numpy.polyfit", "Least squares fit."),
        ("Same as numpy.polyfit() but faster", "numpy.polyfit", "Same as but faster"),
        ("sum -- add up", "builtins.sum", "add up"),
        ("A summary of sums.", "builtins.sum", "A summary of sums."),
    ],
)
def test_a_summary_loses_the_name_of_its_object_and_only_that(summary: str, name: str, left: str) -> None:
    assert remove_name(summary, name) == left
