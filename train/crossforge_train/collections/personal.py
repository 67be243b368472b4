"""Recognises queries that seem to hold personal data: mail addresses, phone numbers, card numbers."""

from __future__ import annotations

import re
from typing import Literal

Personal = Literal["mail address", "phone number", "card number"]

# Begun only where a name begins: from each of its letters, a long one would be searched once a letter.
_MAIL = re.compile(
    r"(?<![\w.+-])[\w.+-]+\s?(?:@|\(at\)|\[at\])\s?[\w-]+\s?(?:\.|\(dot\)|\[dot\])\s?[a-z]{2,}", re.IGNORECASE
)
# Digits with at most one space, dot, dash, slash or bracket between them; not a part of a word such as a model's name.
_NUMBER = re.compile(r"(?<![\w.,])\+?\(?\d(?:[ ./()-]{0,2}\d){6,}(?![\w])")
_LEAST_PHONE, _MOST_PHONE = 9, 15  # E.164 has at most 15 digits
_LEAST_CARD, _MOST_CARD = 13, 19
_FRACTION = re.compile(r"0\.\d+")
# As in North America, with or without its country code 1.
_GROUPED = re.compile(r"(?:1(?:[ .-]|(?=\()))?\(?\d{3}(?:\)[ .-]?|[ .-])\d{3}[ .-]\d{4}")


def personal_data(text: str) -> Personal | None:
    """What kind of personal data a text seems to hold; None if it holds none.

    A number is a card's if it has as many digits as one and its check digit is right (Luhn), and a phone's if it begins
    with + or 0, or is grouped as in North America. Other numbers, such as those of orders and parts, are let pass.
    """
    if _MAIL.search(text):
        return "mail address"
    for found in _NUMBER.finditer(text):
        written = found[0].lstrip("(")
        digits = "".join(filter(str.isdigit, written))
        if _LEAST_CARD <= len(digits) <= _MOST_CARD and has_luhn_digit(digits):
            return "card number"
        if _LEAST_PHONE <= len(digits) <= _MOST_PHONE and (
            (written.startswith(("+", "0")) and not _FRACTION.fullmatch(written)) or _GROUPED.fullmatch(written)
        ):
            return "phone number"
    return None


def has_luhn_digit(digits: str) -> bool:
    """Whether the last digit is the check digit of the others by Luhn's formula (ISO/IEC 7812-1)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0
