"""What can be set on the page: some options of `scoresmith generate`, read by its own parser, with its own words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from typing_extensions import TypedDict

from cli.commands import generate
from cli.commands.generate_requests import requests_of
from cli.errors import UserError
from cli.parser import Parser
from cli.scenes.records import Words

if TYPE_CHECKING:  # loads torch
    from cli.scenes.request import Request

OFFERED = ("seed", "method", "preset", "negative", "guidance_scale", "steps", "weighting", "encoding", "stages")
"""The options that make sense for a prompt on a page, in its order. Those that name files do not."""


class Wish(TypedDict):
    """What the page sends: the prompt, and settings by the names of options; "" stands for the default."""

    prompt: Words
    settings: Annotated[dict[str, Words], Field(max_length=len(OFFERED))]


@dataclass(frozen=True)
class Setting:
    """A setting, as the page shows it.

    Attributes:
        name: of the option, without dashes.
        help: what the command says about it.
        choices: what can be chosen; empty for a text or number.
        default: in words; "" where the option has none.
        is_number: whether nothing but a number is allowed.
    """

    name: str
    help: str
    choices: tuple[str, ...]
    default: str
    is_number: bool


def parser_of_generate() -> Parser:
    """The parser of `scoresmith generate`."""
    parser = Parser(prog="scoresmith generate", allow_abbrev=False)
    generate.add_arguments(parser)
    return parser


def settings() -> list[Setting]:
    """All settings of the page."""
    actions = {action.dest: action for action in parser_of_generate()._actions}
    return [setting_of(actions[name]) for name in OFFERED]


def setting_of(action: argparse.Action) -> Setting:
    """An option as a setting."""
    return Setting(
        name=action.dest,
        help=str(action.help or ""),
        choices=tuple(action.choices or ()),
        default="" if action.default in (None, "") else str(action.default),
        is_number=action.dest in ("seed", "guidance_scale", "steps"),
    )


def request_of(wish: Wish, teacher: str) -> Request:
    """What is to be made.

    Args:
        wish: from the page.
        teacher: the name of the one that the studio has loaded.

    Raises:
        UserError: for settings that are not offered, or values that the command would refuse.
    """
    arguments = [f"--teacher={teacher}", *arguments_of(wish["settings"])]
    options = parser_of_generate().parse_args([*arguments, "--", wish["prompt"]])
    return requests_of(options)[0]


def arguments_of(values: Mapping[str, str]) -> list[str]:
    """Settings as they would stand on the command line. Raises UserError for one that is not offered."""
    arguments = []
    for name, value in values.items():
        if name not in OFFERED:
            raise UserError(f"there is no setting {name!r}; there are {', '.join(OFFERED)}")
        if value.strip():
            arguments.append(f"--{name.replace('_', '-')}={value.strip()}")
    return arguments


def free_folder(root: Path, prompt: str) -> Path:
    """A folder for a prompt that is not there yet: "a-cat", then "a-cat-2" and so on."""
    from cli.scenes.run_folder import folder_name

    name, number = folder_name(prompt), 1
    while (path := root / (name if number == 1 else f"{name}-{number}")).exists() or path.is_symlink():
        number += 1
    return path
