"""The page of the studio: what to make, what is made now, and everything that was made."""

from __future__ import annotations

from cli.studio.settings import Setting, settings
from cli.viewer.gallery import Gallery
from cli.viewer.gallery_page import RUNS, gallery_section
from cli.viewer.markup import Markup, element, joined
from cli.viewer.page import Page, page_header, section, viewer

ORDERS = "orders.json"
"""Where the page finds what was ordered; `server.py` says where it sends what the user wants."""


def studio_page(gallery: Gallery, teacher: str) -> Page:
    """The page; studio.js keeps it up to date."""
    sentence = f"Say what to make. Teacher: {teacher}. Everything is kept in {gallery.root}."
    body = joined(
        page_header("Studio", sentence),
        element(
            "main",
            form(),
            element(
                "div",
                viewer(
                    element("img", alt="The object as it is now", class_="now fallback"),
                    "",
                    "The object that is made",
                    "What you order forms here.",
                ),
                element(
                    "aside",
                    element("h2", "Orders"),
                    element("p", "Nothing is ordered.", class_="state", role="status"),
                    element("ol", class_="orders"),
                ),
                class_="hero studio",
            ),
            section("Made here", "Each opens with all its pictures, measurements and downloads.", gallery_section()),
        ),
    )
    told = {"gallery": {"runs": RUNS}, "studio": {"orders": ORDERS}}
    scripts = ("three.min.js", "viewer.js", "gallery.js", "studio.js")
    return Page("Studio · scoresmith", body, scripts=scripts, told=told)


def form() -> Markup:
    """The prompt, the button, and the settings behind a heading that opens them."""
    prompt = element(
        "input",
        type="text",
        name="prompt",
        placeholder="a red armchair",
        aria_label="What to make",
        maxlength=300,
        required=True,
        autofocus=True,
        autocomplete="off",
    )
    return element(
        "form",
        element("div", prompt, element("button", "Make", type="submit", class_="main"), class_="filters"),
        element("p", class_="refusal", role="alert"),
        element("details", element("summary", "Settings"), element("div", *map(field, settings()), class_="settings")),
        class_="order",
    )


def field(setting: Setting) -> Markup:
    """A setting with its name and what the command's help says about it."""
    described = f"help-{setting.name}"
    label = setting.name.replace("_", " ").capitalize()
    if setting.choices:
        blank = [element("option", "recipe's", value="")] if not setting.default else []
        options = [
            element("option", choice, value=choice, selected=choice == setting.default) for choice in setting.choices
        ]
        control = element("select", *blank, *options, name=setting.name, aria_describedby=described)
    else:
        kind = {"type": "number", "min": 0, "step": "any"} if setting.is_number else {"type": "text"}
        control = element(
            "input", name=setting.name, value=setting.default, aria_describedby=described, autocomplete="off", **kind
        )
    return element(
        "div", element("label", element("span", label), control), element("small", setting.help, id=described)
    )
