"""A page is one file that reaches nothing else, and its model is in it byte for byte."""

import base64
import hashlib
import json
import re

import pytest

from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import ASSETS, Page, asset, html_of, turning, viewer
from representations.assets.asset import Asset
from representations.assets.formats.gltf_writing import glb_bytes
from tests.cli.viewer.objects import ball
from tests.cli.viewer.test_markup import Seen

SCRIPTS = ("three.min.js", "viewer.js", "charts.js", "live.js")


def policy_of(document: str) -> dict[str, list[str]]:
    """The directives of a page's Content-Security-Policy and their sources."""
    written = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', document)
    assert written is not None
    directives = written[1].replace("&#x27;", "'").split("; ")
    return {name: sources for name, *sources in (directive.split(" ") for directive in directives)}


def without_scripts(document: str) -> str:
    return re.sub(r"<script>.*?</script>", "", document, flags=re.DOTALL)


def test_the_model_is_inside_byte_for_byte():
    model = glb_bytes(Asset(ball((1, 0, 0))))
    document = html_of(Page("a ball", viewer(None, "", "a ball"), model))
    data = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', document)
    assert data is not None
    assert base64.b64decode(json.loads(data[1])["model"]["base64"]) == model


def test_a_report_may_reach_nothing():
    policy = policy_of(html_of(Page("a ball", Markup(""), b"glTF")))
    assert policy["default-src"] == ["'none'"]
    assert policy["connect-src"] == ["blob:"]
    assert policy["img-src"] == ["data:", "blob:"]
    assert policy["base-uri"] == policy["form-action"] == ["'none'"]
    assert not any("unsafe" in source or "http" in source for sources in policy.values() for source in sources)


@pytest.mark.parametrize("page", [Page("", Markup(""), "model.glb"), Page("", Markup(""), live={"state": "x"})])
def test_a_served_page_may_reach_its_own_server_only(page: Page):
    policy = policy_of(html_of(page))
    assert policy["connect-src"] == ["blob:", "'self'"]
    assert policy["img-src"] == ["data:", "blob:", "'self'"]


@pytest.mark.parametrize(
    "page", [Page("", Markup("")), Page("", Markup(""), b"glTF"), Page("", Markup(""), live={"state": "state.json"})]
)
def test_exactly_the_scripts_and_the_style_of_the_page_may_run(page: Page):
    document = html_of(page)

    def hashes(tag: str) -> list[str]:
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", document, flags=re.DOTALL)
        return [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]

    policy = policy_of(document)
    assert hashes("script") == policy["script-src"]
    assert hashes("style") == policy["style-src"]
    assert len(policy["style-src"]) == 1


def test_a_page_names_no_other_address():
    document = without_scripts(
        html_of(Page("a ball", viewer(turning("data:image/gif;base64,", "a ball"), "", "a ball"), b"glTF"))
    )
    assert "://" not in document
    assert not re.search(r'\b(src|href)="(?!data:)', document)
    assert " style=" not in document  # the policy would ignore it


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_can_stand_in_html_and_ask_nobody(name: str):
    text = asset(name)
    assert "</script" not in text
    assert "<!--" not in text
    assert not re.search(r"\beval\(|new Function|import\(", text)
    # three.js names its home in the first line, and SVG's namespace, which is no address
    assert set(re.findall(r"https?://[^\"'`\s,]*", text)) <= {"https://threejs.org", "http://www.w3.org/1999/xhtml"}


def test_the_vendored_viewer_is_small_and_has_its_licence():
    assert (ASSETS / "three.min.js").stat().st_size < 800_000
    assert asset("three.LICENSE.txt").strip() in asset("three.min.js")  # so every report has it too
    assert re.search(r"three\.js ([\d.]+)", asset("three.min.js"))[1] in asset("README.md")


def test_titles_and_words_are_escaped():
    prompt = '</title><script>alert("1")</script>'
    document = html_of(Page(prompt, joined(element("h1", prompt), viewer(None, prompt, prompt, prompt))))
    seen = Seen(without_scripts(document))
    assert "alert" in seen.text
    assert seen.tags.count("script") == 1  # the data
    assert 'alert("1")' not in document
