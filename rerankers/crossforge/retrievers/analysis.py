"""How text becomes terms: stemmed words, or character n-grams for scripts that put no spaces between words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Literal, get_args

from crossforge.errors import InputError
from crossforge.retrievers.language import snowball_language, stop_words

Kind = Literal["word", "char"]

_WORD = re.compile(r"\w+")
# Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar: scripts that are written without spaces.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
# Every script that is written today lies below.
_LAST_SCRIPT = 0x20000
_FAR = 0x10000
_UNSPACED_SHARE = 0.2
_SAMPLE, _BEGINNING = 1000, 500  # texts, and characters of each
# Fewer words than these can be in any language.
_LEAST_WORDS = 10


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Text to terms.

    Attributes:
        kind: "word" (runs of letters and digits) or "char" (overlapping n-grams inside them).
        language: a Snowball language for stemming and stop words, or "none"; used by "word" only.
        ngram: length of the n-grams; used by "char" only.
    """

    kind: Kind = "word"
    language: str = "english"
    ngram: int = 2

    def __post_init__(self) -> None:
        import Stemmer

        if self.kind not in get_args(Kind):
            raise InputError(f"no analyzer {self.kind!r}; have {', '.join(get_args(Kind))}")
        if not isinstance(self.ngram, int) or self.ngram < 1:
            raise InputError(f"n-grams of {self.ngram!r} characters; expected a whole number of 1 or more")
        if self.language != "none" and self.language not in Stemmer.algorithms():
            raise InputError(
                f"no stemmer for the language {self.language!r}; have none, {', '.join(Stemmer.algorithms())}"
            )

    def __str__(self) -> str:
        if self.kind == "char":
            return f"{self.ngram} characters a term"
        return "words" if self.language == "none" else f"words, stemmed in {self.language}"

    def terms(self, text: str) -> list[str]:
        """The terms of one text, in order, repetitions kept."""
        return [term for terms in self.terms_of_words(self.words(text)) for term in terms]

    def words(self, text: str) -> list[str]:
        """The lower-case words of one text, in order."""
        return runs_of_letters(text.lower() if text.isascii() else unicodedata.normalize("NFC", text).lower())

    def terms_of_words(self, words: Sequence[str]) -> list[Sequence[str]]:
        """The terms that each word stands for: its n-grams, its stem, or none for a stop word."""
        if self.kind == "char":
            return [_ngrams(word, self.ngram) for word in words]
        dropped = stop_words(self.language)
        stems = words if self.language == "none" else _stemmed(words, self.language)
        return [() if word in dropped else (stem,) for word, stem in zip(words, stems, strict=True)]


def choose_analyzer(texts: Iterable[str]) -> Analyzer:
    """The analyzer that fits a corpus, from a look at the beginnings of its first thousand texts.

    Character n-grams where a fifth of the letters belongs to scripts without spaces; otherwise words, stemmed in the
    language of the sample if there is a stemmer for it. A sample too short to tell counts as English if its letters
    are ASCII.
    """
    sample = "\n".join(text[:_BEGINNING] for text in islice(texts, _SAMPLE))
    letters = sum(map(str.isalpha, sample))
    if len(_UNSPACED.findall(sample)) > _UNSPACED_SHARE * max(1, letters):
        return Analyzer("char")
    if len(_WORD.findall(sample)) >= _LEAST_WORDS:
        return Analyzer(language=snowball_language(sample) or "none")
    ascii_letters = sum(character.isalpha() and character.isascii() for character in sample)
    return Analyzer(language="english" if ascii_letters > 0.9 * letters else "none")


def runs_of_letters(text: str) -> list[str]:
    """The runs of letters, digits and underscores in one text, in order; marks belong to the letters before them."""
    return (_WORD if text.isascii() else _word_pattern()).findall(text)


@cache
def _word_pattern() -> re.Pattern[str]:
    """Letters, digits and their marks: without these, Hindi and Thai words would fall apart at vowel signs."""
    # `re` looks a sign up in a table only if the class is all below 0x10000 and holds no \w: in one class, it would go
    # through two thousand marks at the end of each word.
    marks, far = _marks(0, _FAR), _marks(_FAR, _LAST_SCRIPT)
    return re.compile(rf"\w+(?:[{marks}]+\w*|(?=[{chr(_FAR)}-{chr(_LAST_SCRIPT)}])[{far}]+\w*)*")


def _marks(start: int, end: int) -> str:
    found = (chr(code) for code in range(start, end) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    return "".join(map(re.escape, found))


def _ngrams(word: str, n: int) -> Sequence[str]:
    return [word[start : start + n] for start in range(max(1, len(word) - n + 1))]


def _stemmed(words: Sequence[str], language: str) -> list[str]:
    import Stemmer

    # One stemmer a call: it keeps a buffer of its own and must not be shared between threads.
    stems: list[str] = Stemmer.Stemmer(language).stemWords(list(words))
    return stems
