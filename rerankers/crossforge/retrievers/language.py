"""Which language a text is in, and the stop words of languages."""

from __future__ import annotations

import unicodedata
from functools import cache

# ISO 639-1 code -> Snowball's name, for the languages that have a stemmer.
_SNOWBALL = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "st": "sesotho",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
# Lucene's list, with which BM25 figures are published: longer ones take words such as "how" and "first" out of queries.
_ENGLISH_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this"
    " to was will with"
)


def snowball_language(text: str) -> str | None:
    """The language of a text by Snowball's name; None if it has no stemmer.

    The model comes with py3langid: Lui and Baldwin, "langid.py: An Off-the-shelf Language Identification Tool", ACL
    2012.
    """
    import py3langid
    import Stemmer

    code, _ = py3langid.classify(text)
    language = _SNOWBALL.get(code)
    return language if language in Stemmer.algorithms() else None  # older Snowballs know fewer


@cache
def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language by Snowball's name; none where no list is known."""
    if language == "english":
        return frozenset(_ENGLISH_STOP_WORDS.split())
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words

    if language not in AVAILABLE_LANGUAGES:
        return frozenset()
    return frozenset(unicodedata.normalize("NFC", word).lower() for word in get_stop_words(language))
