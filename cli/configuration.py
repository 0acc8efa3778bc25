"""Options in a file: a command line written down as TOML, which `--config` reads and every run writes.

A key is the name of an option without its dashes, or of a positional argument; what stands on the command line wins:

    prompts = ["a red armchair"]
    seed = 7
    method = "vsd"
    live = true
"""

from __future__ import annotations

import argparse
import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import UserError

if TYPE_CHECKING:  # loads torch
    from cli.scenes.request import Request

LARGEST_FILE = 2**20
"""Bytes; a file of options has a few hundred."""

NOT_IN_FILES = ("help", "config", "json")


def with_configuration(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """The arguments of a command with those of its `--config` file put before them.

    Args:
        parser: of the command, see `add_config_option`.
        arguments: of the command, without its name.

    Raises UserError if the file cannot be read or says something that the command does not know.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config", type=Path)
    try:
        found, rest = finder.parse_known_args(arguments)
    except argparse.ArgumentError:
        return list(arguments)  # the command's own parser says what is wrong
    if found.config is None or not any(action.dest == "config" for action in parser._actions):
        return list(arguments)
    options, positional = arguments_of(parser, read_options(found.config), found.config)
    given, _ = parser.parse_known_args(rest)
    own = any(getattr(given, action.dest, None) for action in parser._actions if not action.option_strings)
    return [*options, *rest, *([] if own else positional)]


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Let a command take its options from a file."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="options in a TOML file, such as the run.toml of a run"
    )


def read_options(path: Path) -> dict[str, Any]:
    """What a file says. Raises UserError if it cannot be read, or is no TOML."""
    try:
        if path.stat().st_size > LARGEST_FILE or not path.is_file():
            raise UserError(f"--config {path} is no file of options")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"--config {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"--config {path}: {error}") from None


def arguments_of(
    parser: argparse.ArgumentParser, options: Mapping[str, Any], path: Path
) -> tuple[list[str], list[str]]:
    """Options as they would stand on the command line, and positional arguments.

    Raises UserError for a key that the command does not know, or a value that is no text, number, switch or list.
    """
    actions = {action.dest: action for action in parser._actions if action.dest not in NOT_IN_FILES}
    named, positional = [], []
    for key, value in options.items():
        action = actions.get(key.replace("-", "_"))
        if action is None:
            near = difflib.get_close_matches(key.replace("-", "_"), actions, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; it knows {', '.join(sorted(actions))}"
            raise UserError(f"--config {path}: this command knows no {key!r}{hint}")
        words = words_of(key, value, path)
        if not action.option_strings:
            positional += words
        elif action.nargs == 0:
            if not isinstance(value, bool):
                raise UserError(f"--config {path}: {key} is a switch: true or false, not {value!r}")
            named += [action.option_strings[-1]] if value else []
        elif isinstance(value, list) and action.nargs is None and not isinstance(action, argparse._AppendAction):
            named += [f"{action.option_strings[-1]}={','.join(words)}"]
        else:
            named += [f"{action.option_strings[-1]}={word}" for word in words]
    return named, positional


def words_of(key: str, value: object, path: Path) -> list[str]:
    """A value as words of a command line."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in values):
        raise UserError(f"--config {path}: {key} is no text, number, switch or list of these")
    return [str(one) for one in values]


def toml_of(request: Request) -> str:
    """A file of options that asks for the same again: what differs from the defaults."""
    lines = ["# scoresmith generate --config run.toml --out ANOTHER-FOLDER   makes the same again", ""]
    lines.append(f"prompts = {toml_value([request.prompt])}")
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name in ("prompt", "placement") or (field.default is not MISSING and value == field.default):
            continue
        lines.append(f"{field.name.replace('_', '-')} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def toml_value(value: object) -> str:
    """A text, number, switch or list of these as TOML; its texts are escaped as those of JSON."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=True)
