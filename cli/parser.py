"""A command line, read."""

from __future__ import annotations

import argparse
from typing import NoReturn

from cli.errors import UserError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all errors of the command."""

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message} (`{self.prog} --help` says more)")
