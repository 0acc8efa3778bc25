"""HTML out of escaped pieces: what is not `Markup` is text, and text can never become a tag."""

from __future__ import annotations

import html
import json
from typing import Any

VOID = frozenset({"meta", "img", "input", "br", "link"})
"""Elements that have no content and no closing tag."""


class Markup(str):
    """A string that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | int | float | bool | None) -> Markup:
    """One element.

    Args:
        name: of the tag.
        content: `Markup` is taken as it is, any other string is escaped.
        attributes: "class_" stands for class, "view_box" would be "view-box"; True is an attribute without a value,
            None and False leave it out.
    """
    written = "".join(
        f" {attribute_name(key)}" if value is True else f' {attribute_name(key)}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")


def attribute_name(key: str) -> str:
    """A Python name as the name of an attribute: class_ is class, aria_label is aria-label."""
    return key.removesuffix("_").replace("_", "-")


def joined(*content: str) -> Markup:
    """Pieces one after the other; what is not `Markup` is escaped."""
    return Markup("".join(piece if isinstance(piece, Markup) else html.escape(piece) for piece in content))


def data_block(identifier: str, data: Any) -> Markup:
    """Data for scripts, as JSON that no HTML parser can take for anything else.

    Inside a script element the only dangerous character is "<" (of "</script" and "<!--"); JSON can spell it otherwise.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{html.escape(identifier)}">{text}</script>')
