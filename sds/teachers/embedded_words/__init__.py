"""What people type, read as the few things that a small teacher knows: nouns, colours, materials, sizes, relations."""

from sds.teachers.embedded_words.lexicon import Lexicon
from sds.teachers.embedded_words.understanding import Thing, Understanding

__all__ = ["Lexicon", "Thing", "Understanding"]
