"""Key phrases of a document as short keyword queries."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.pseudo_queries import PseudoQuery, Span, seeded
from crossforge_train.config.documents import DocumentsSource

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_SAMPLE = 20_000  # documents that say how rare a word is
_LONGEST_PHRASE = 3  # words
_CANDIDATES = 8  # the heaviest phrases, from which a query is drawn
_QUERIES = 3
_PHRASES = (1, 2, 2, 3)
_FEWEST_WORDS = 2


class _Phrase(NamedTuple):
    words: tuple[str, ...]
    weight: float
    start: int


class KeywordMaker:
    """One to three of a document's heaviest phrases: runs of words between stop words, by the TF-IDF of their words.

    Only where the corpus has words between spaces. Of the query's words the heaviest is what is lifted out: it is the
    one that the first stage would find the document by.

    Args:
        documents: the whole corpus, of which the first thousands say how rare a word is.
        analyzer: how words become terms; its stop words end phrases.
        seed: of the draw of phrases.
    """

    kind = "keywords"

    def __init__(self, documents: Iterable[Document], analyzer: Analyzer, seed: int) -> None:
        self._analyzer = analyzer
        self._seed = seed
        self._stop_words = _long_stop_words(analyzer.language)
        self._documents_with: Counter[str] = Counter()
        self._size = 0
        if analyzer.kind == "word":
            for document in islice(documents, _SAMPLE):
                self._size += 1
                self._documents_with.update(set(analyzer.terms(document.full_text)))

    def make(self, documents: Sequence[Document]) -> Iterator[list[PseudoQuery]]:
        """See `QueryMaker`."""
        return (self._of(document) if self._analyzer.kind == "word" else [] for document in documents)

    def _of(self, document: Document) -> list[PseudoQuery]:
        phrases = self._phrases(document.text)
        draw = seeded(self._seed, self.kind, document)
        return [query for _ in range(_QUERIES) if (query := self._query(document, phrases, draw))]

    def _query(self, document: Document, phrases: Sequence[_Phrase], draw: random.Random) -> PseudoQuery | None:
        drawn = draw.sample(phrases, min(len(phrases), draw.choice(_PHRASES)))
        words = dict.fromkeys(word for phrase in sorted(drawn, key=lambda one: one.start) for word in phrase.words)
        if len(words) < _FEWEST_WORDS:
            return None
        heaviest = max(words, key=lambda word: (self._rarity(word), word))
        return PseudoQuery(self.kind, " ".join(words), [document.doc_id], list(_places(document, heaviest)))

    def _phrases(self, text: str) -> list[_Phrase]:
        counts = Counter(self._analyzer.terms(text))
        found: dict[tuple[str, ...], _Phrase] = {}
        for run, start in self._runs(text):
            weight = sum(
                (1 + math.log(counts[term])) * self._rarity(word)
                for word in run
                for term in self._analyzer.terms(word)
                if counts[term]
            )
            found.setdefault(run, _Phrase(run, weight, start))
        return sorted(found.values(), key=lambda phrase: (-phrase.weight, phrase.start))[:_CANDIDATES]

    def _runs(self, text: str) -> Iterator[tuple[tuple[str, ...], int]]:
        """Runs of words that are no stop words, with nothing but spaces between them."""
        run: list[str] = []
        start = end = 0
        for found in (*_WORD.finditer(text), None):
            word = found[0].lower() if found else ""
            goes_on = found is not None and self._weighs(word) and not text[end : found.start()].strip()
            if run and (not goes_on or len(run) == _LONGEST_PHRASE):
                yield tuple(run), start
                run = []
            if found is None or not self._weighs(word):
                run = []
            else:
                start = start if run else found.start()
                run.append(word)
            end = found.end() if found else end

    def _weighs(self, word: str) -> bool:
        return len(word) > 1 and not word.isdecimal() and word not in self._stop_words

    def _rarity(self, word: str) -> float:
        """The inverse document frequency of the word's rarest term."""
        terms = self._analyzer.terms(word)
        return max((math.log((1 + self._size) / (1 + self._documents_with[term])) for term in terms), default=0.0)


def _long_stop_words(language: str) -> frozenset[str]:
    """Those that nobody types into a search box; the first stage's list for English is shorter."""
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words

    return frozenset(get_stop_words(language)) if language in AVAILABLE_LANGUAGES else frozenset()


def _places(document: Document, word: str) -> Iterator[Span]:
    pattern = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    for in_title, text in ((True, document.title), (False, document.text)):
        for found in pattern.finditer(text):
            yield Span(document.doc_id, in_title, found.start(), found.end())


def maker(corpus: Mapping[str, Document], analyzer: Analyzer, source: DocumentsSource) -> KeywordMaker:
    """See `MakerFactory`."""
    return KeywordMaker(corpus.values(), analyzer, source.seed)
