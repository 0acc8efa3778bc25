"""How two things stand to one another, and the words that part one noun phrase from the next."""

from __future__ import annotations

from collections.abc import Mapping

RELATIONS: Mapping[str, str] = {
    **dict.fromkeys(["on", "upon", "onto", "atop", "on top of"], "on"),
    **dict.fromkeys(["over", "above", "in", "inside", "inside of", "into", "within"], "on"),
    **dict.fromkeys(["under", "below", "beneath", "underneath"], "under"),
    **dict.fromkeys(["beside", "besides", "next to", "by", "near", "alongside", "close to", "at", "near to"], "beside"),
    **dict.fromkeys(["to the left of", "to the right of", "left of", "right of", "against", "adjacent to"], "beside"),
    **dict.fromkeys(["between", "around", "opposite", "facing", "for", "from"], "beside"),
    **dict.fromkeys(["and", "with", "plus", "&", "+", "along with", "together with", "as well as", "holding"], "and"),
    **dict.fromkeys(["in front of", "before", "ahead of"], "in front of"),
    **dict.fromkeys(["behind", "in back of", "at the back of", "after"], "behind"),
}
"""What people write -> the canonical relation."""

SAID_ALIKE = frozenset(
    {"upon", "onto", "atop", "on top of", "below", "beneath", "underneath", "next to", "with", "plus"}
)
"""Words whose canonical relation need not be told: nothing is lost."""

DESCRIBES = frozenset({"of", "in", "made of", "made from", "made out of", "from", "with", "made in", "out of"})
"""After these an adjective without a noun belongs to the thing before: a chair of oak, a sofa in red."""

LEAVES_OUT = frozenset(
    {"in the style of", "in style of", "style of", "inspired by", "painted by", "designed by", "made by", "drawn by"}
    | {"without", "no", "not", "minus", "like", "as"}
)
"""What follows these, up to the next comma or relation, is not part of the scene."""

SEPARATORS = frozenset({",", ";", ":", ".", "!", "?", "|", "/", "(", ")"})

FILLING = frozenset(
    {
        *("a", "an", "the", "its", "it", "is", "are", "this", "that", "these", "those", "some", "my", "your", "his"),
        *(
            "her",
            "their",
            "our",
            "one",
            "there",
            "there's",
            "please",
            "i",
            "want",
            "me",
            "make",
            "show",
            "draw",
            "very",
        ),
        *(
            "photo",
            "photograph",
            "picture",
            "image",
            "render",
            "rendering",
            "rendered",
            "3d",
            "object",
            "model",
            "mesh",
        ),
        *("single", "high", "quality", "detailed", "realistic", "highly", "asset", "dslr", "hd", "4k", "8k", "of"),
        *("view", "made", "out", "kind", "type", "style", "color", "colour", "colored", "coloured", "be", "standing"),
        *("sitting", "lying", "placed", "looking", "really", "quite", "so", "and", "with", "other", "another", "to"),
    }
)
"""Words that say nothing about the thing itself; they are left out without a word about it."""

NUMBERS: Mapping[str, int] = {
    "two": 2,
    "both": 2,
    "double": 2,
    "twin": 2,
    "couple": 2,
    "pair": 2,
    "pairs": 2,
    "three": 3,
    "triple": 3,
    "trio": 3,
    "several": 3,
    "few": 3,
    "many": 4,
    "four": 4,
    "lots": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "dozen": 12,
    "dozens": 12,
}
