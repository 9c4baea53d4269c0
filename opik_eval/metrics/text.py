"""How texts are made comparable before they are compared."""

from __future__ import annotations

import re
import string
import unicodedata

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def fold(text: str, *, case_sensitive: bool) -> str:
    """Return the form in which texts that look alike are equal.

    Composed and decomposed letters become one (Unicode NFC). Letter case is removed by full case
    folding unless it matters, so that ``Straße`` equals ``STRASSE``.

    Example:
        >>> fold("STRASSE", case_sensitive=False) == fold("Straße", case_sensitive=False)
        True
    """
    if text.isascii():
        return text if case_sensitive else text.lower()
    normal = unicodedata.normalize("NFC", text)
    return normal if case_sensitive else unicodedata.normalize("NFC", normal.casefold())


def squad_normalise(text: str) -> str:
    """Return an answer in the form in which SQuAD compares it.

    In this order: lower case, without ASCII punctuation, without the articles *a, an, the*, with
    single spaces. Typographic quotes are kept, as in the original.

    Source: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text".

    Example:
        >>> squad_normalise("  The U.S.A., an  x-ray!")
        'usa xray'
    """
    bare = unicodedata.normalize("NFC", text).lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())
