"""The add-on as a zip that Blender installs."""

from __future__ import annotations

import json
import shlex
import sys
import zipfile
from pathlib import Path

from cli.errors import UserError
from sds.checkpoint import written_whole

ADDON = Path(__file__).parent / "addon"

COMMAND_FILE = "command.json"
"""Beside the add-on's files: the command of the environment that has made the zip."""

LONG_AGO = (2020, 1, 1, 0, 0, 0)
"""Of all files, so that the same add-on is the same zip."""


def pack_addon(path: Path, command: list[str] | None = None) -> Path:
    """Write the zip that Blender's "Install from Disk" takes; returns its path.

    Args:
        path: of the zip; its folder exists.
        command: how the add-on runs scoresmith; None: as it runs now.

    Raises UserError for another ending, since Blender takes no other, or a folder that is not there.
    """
    if path.suffix.lower() != ".zip":
        raise UserError(f"--out {path} must end in .zip")
    if not path.parent.is_dir():
        raise UserError(f"the folder {path.parent} does not exist")
    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(ADDON.iterdir()):
            if file.suffix in (".py", ".toml"):
                archive.writestr(zipfile.ZipInfo(file.name, LONG_AGO), file.read_bytes())
        content = json.dumps(shlex.join(command or own_command()))
        archive.writestr(zipfile.ZipInfo(COMMAND_FILE, LONG_AGO), content)
    return path


def own_command() -> list[str]:
    """How scoresmith is run in this environment, wherever that is called from."""
    script = Path(sys.executable).with_name("scoresmith.exe" if sys.platform == "win32" else "scoresmith")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "scoresmith"]
