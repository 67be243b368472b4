"""How well texts match a query by their words: the choice of passages for first stages that keep no index of terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer, choose_analyzer
from crossforge.retrievers.counting import count_corpus, count_known
from crossforge.retrievers.weighting import Statistics, TfidfWeights


@dataclass(frozen=True, slots=True)
class Overlap:
    """TF-IDF cosine under the statistics of the compared texts themselves, so that no index is needed.

    Attributes:
        analyzer: how texts and queries become terms.
    """

    analyzer: Analyzer

    @classmethod
    def choose(cls, documents: Iterable[Document], analyzer: str = "auto", language: str = "english") -> Overlap:
        """The one that fits a corpus.

        Args:
            documents: the corpus; only the first thousand are looked at.
            analyzer: "word", "char", or "auto" to choose by the corpus.
            language: Snowball language of "word", or "none".

        Raises:
            InputError: there is no such analyzer, or no stemmer for the language.
        """
        match analyzer:
            case "auto":
                return cls(choose_analyzer(document.full_text for document in documents))
            case "word" | "char":
                return cls(Analyzer(analyzer, language))
        raise InputError(f"no analyzer {analyzer!r}; have auto, word, char")

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """The cosine of each text with the query, shape (texts,); 0 where they share no term."""
        if not texts:
            return np.zeros(0, dtype=np.float32)
        terms, counts = count_corpus([Document("", text) for text in texts], self.analyzer, processes=1)
        if not terms:
            return np.zeros(len(texts), dtype=np.float32)
        weights = TfidfWeights.fit(Statistics.of(counts))
        asked = count_known([query], self.analyzer, {term: column for column, term in enumerate(terms)})
        product = weights.of_documents(counts) @ weights.of_queries(asked).T
        return np.asarray(product.toarray()[:, 0], dtype=np.float32)

    def settings(self) -> dict[str, Any]:
        """For a JSON file; `read` reads it."""
        return asdict(self.analyzer)

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Overlap:
        """From what `settings()` gave.

        Raises:
            InputError: no such language.
            TypeError: other settings stand there.
        """
        return cls(Analyzer(**settings))
