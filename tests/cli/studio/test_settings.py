"""The settings that the studio's page offers."""

from cli.studio.settings import arguments_of, parser_of_generate, request_of, settings


def test_a_page_that_sends_every_default_back_asks_for_what_the_command_would_make():
    """Fields of a page hold their defaults as values, so each must be one that the command takes."""
    untouched = {setting.name: setting.default for setting in settings()}
    assert parser_of_generate().parse_args([*arguments_of(untouched), "a cup"])
    wish = {"prompt": "a cup", "settings": untouched}
    assert request_of(wish, "embedded") == request_of({"prompt": "a cup", "settings": {}}, "embedded")
