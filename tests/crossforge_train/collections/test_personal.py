"""What looks like personal data, and what only looks like numbers."""

import time

import pytest

from crossforge_train.collections.personal import has_luhn_digit, personal_data


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("order of jane.doe+shop@example.co.uk", "mail address"),
        ("jane (at) example (dot) org invoice", "mail address"),
        ("call +49 30 901820", "phone number"),
        ("0800-123-4567 tariff", "phone number"),
        ("+1 (415) 555-2671", "phone number"),
        ("(415) 555-2671 who is it", "phone number"),
        ("415-555-2671", "phone number"),
        ("(415)555-2671", "phone number"),
        ("call 1-800-555-1234 now", "phone number"),
        ("1 212 555 1234", "phone number"),
        ("(our number: 1-800-555-1234)", "phone number"),
        ("(415-555-2671)", "phone number"),
        ("1 (212) 555-1234", "phone number"),
        ("1(212)555.1234", "phone number"),
        ("4111 1111 1111 1111 declined", "card number"),
        ("4111-1111-1111-1111", "card number"),
        ("378282246310005", "card number"),
    ],
)
def test_personal_data_is_recognised(text: str, kind: str) -> None:
    assert personal_data(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "iphone 12 128gb",
        "4111 1111 1111 1112",  # a wrong check digit
        "order 83920174652",
        "order 2-800-555-1234",
        "1-80-5555-1234 part",
        "1234-567-8901 part",
        "2024-01-02 to 2024-02-03",
        "01-02-2024",
        "python 3.11.4 release",
        "twitter @handle",
        "rs232 9600 8n1",
        "1990 2000 2010 population",
        "0.000000001 m",
        "",
    ],
)
def test_other_numbers_pass(text: str) -> None:
    assert personal_data(text) is None


def test_a_long_text_without_spaces_is_searched_once() -> None:
    started = time.process_time()
    assert personal_data("x." * 100_000) is None
    assert time.process_time() - started < 1
    assert personal_data("x." * 1000 + "jane@example.org") == "mail address"


def test_luhns_check_digit() -> None:
    assert has_luhn_digit("79927398713")
    assert not any(has_luhn_digit(f"7992739871{digit}") for digit in "012456789")
