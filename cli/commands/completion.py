"""`scoresmith completion`: let the shell complete commands, options and files."""

from __future__ import annotations

import argparse

SUMMARY = "let the shell complete commands and options"
DESCRIPTION = """Prints a script that teaches a shell to complete the commands, options and choices of scoresmith."""
EXAMPLES = """examples:
  scoresmith completion bash > ~/.local/share/bash-completion/completions/scoresmith
  scoresmith completion zsh > ~/.zfunc/_scoresmith          with fpath+=~/.zfunc before compinit in ~/.zshrc
  scoresmith completion tcsh > ~/.scoresmith.tcsh           with `source ~/.scoresmith.tcsh` in ~/.tcshrc"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), metavar="SHELL", help="bash, zsh or tcsh")


def run(options: argparse.Namespace) -> int:
    """Print the script for the parser of all commands; returns the exit code."""
    import shtab

    print(shtab.complete(options.whole_parser, options.shell))
    return 0
