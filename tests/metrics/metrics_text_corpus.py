"""Texts that the metrics of texts are tried with, and how to make more of them."""

from __future__ import annotations

import random

from hypothesis import strategies as st

_WORDS = (
    "the a cat dog cats running ran quickly quick relational ponies happily happy news dying on "
    "mat under house houses of and sat sits nationality conditional troubled trouble it's "
    'well-known U.S. 3.14 hello, world. (yes) "no" sky skies electricity'
)
_VOCABULARY = _WORDS.split()


def sentence(rng, longest=20):
    """Return a few English words, with punctuation here and there."""
    return " ".join(rng.choice(_VOCABULARY) for _ in range(rng.randint(1, longest)))


def _ascii_pairs():
    rng = random.Random(20240607)
    pairs = [(sentence(rng), sentence(rng)) for _ in range(150)]
    near = [(text, " ".join(w for w in text.split() if rng.random() > 0.2)) for text, _ in pairs]
    return pairs + [pair for pair in near if all(pair)]


ASCII_PAIRS = [
    *_ascii_pairs(),
    ("hello", "hello"),
    ("hello", "world"),
    ("the cat", "The Cat"),
    ("the cat is on the mat", "there is a cat on the mat"),
    ("Hello, world.", "Hello , world ."),
    ("the the the the the the the", "the cat is on the mat"),
    ("a b c d e f g h", "h g f e d c b a"),
    ("word " * 600, "word " * 300 + "other " * 100),
]
"""Texts that every reference implementation can cope with."""

UNICODE_PAIRS = [
    ("Straße und Café", "STRASSE und cafe\u0301"),
    ("東京タワーは高い", "東京タワーは低い"),
    ("猫が好き", "犬が嫌い"),
    ("Привет, мир", "Привет мир"),
    ("Ελληνικά γράμματα", "ελληνικά γραμματα"),
    ("مرحبا بالعالم", "مرحبا يا عالم"),
    ("हिन्दी भाषा", "हिन्दी में भाषा"),
    ("👩‍👩‍👧 family", "family 👩‍👩‍👧"),
    ("naïve façade", "naive facade"),
]
"""The same text in two spellings, and scripts beyond ASCII."""

ODD_PAIRS = [("", ""), ("", "text"), ("text", ""), (" ", "\n"), ("!!!", "???"), ("x", "x")]
"""Nothing, spaces, punctuation, one letter."""

PAIRS = ASCII_PAIRS[-40:] + UNICODE_PAIRS + ODD_PAIRS

words = st.sampled_from(
    ["the", "cat", "cats", "sat", "on", "mat", "a", "Mat.", "東京", "é", "e\u0301"]
)
texts = st.one_of(
    st.lists(words, max_size=12).map(" ".join),
    st.text(max_size=25),
)
"""Sentences of few words, so that they overlap, and any text at all."""
