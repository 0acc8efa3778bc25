"""Text can never become a tag, wherever it stands."""

import html
import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from cli.viewer.markup import Markup, data_block, element, joined


class Seen(HTMLParser):
    """What a browser's parser makes of a document: its tags, its text, its attributes."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.attributes: dict[str, str | None] = {}
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


# surrogates cannot be written in UTF-8; parsers replace the rest of what is left out here
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))


@given(texts, texts)
def test_text_stays_text_and_attributes_stay_attributes(text: str, value: str):
    seen = Seen(element("p", text, title=value))
    assert seen.tags == ["p"]
    assert seen.text == text
    assert seen.attributes == {"title": value}


def test_markup_is_nested_and_attributes_are_named():
    inner = element("b", "1 < 2")
    assert inner == "<b>1 &lt; 2</b>"
    assert element("p", inner, " & so on", class_="x", aria_label='a "b"', hidden=True, title=None, tabindex=0) == (
        '<p class="x" aria-label="a &quot;b&quot;" hidden tabindex="0"><b>1 &lt; 2</b> &amp; so on</p>'
    )
    assert element("img", alt="") == '<img alt="">'
    assert isinstance(joined("<", Markup("<i></i>")), Markup)
    assert joined("<", Markup("<i></i>")) == "&lt;<i></i>"


@given(st.recursive(st.none() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_data_is_read_back_and_cannot_end_its_element(data: object):
    block = data_block("page-data", data)
    content = block.removeprefix('<script type="application/json" id="page-data">').removesuffix("</script>")
    assert json.loads(content) == data
    assert "<" not in content
    assert html.escape("</script><!--") not in content
