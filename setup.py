"""Builds the wheel: the four rooms of the repository become parts of one package, `scoresmith`.

Nobody's site-packages should get a package named `cli` or `students` from us. So the wheel holds `scoresmith/sds`,
`scoresmith/cli`, ..., and in these copies `from sds.engine import ...` reads `from scoresmith.sds.engine import ...`.
An editable installation leaves all files where and as they are; there `scoresmith.sds` is another name of `sds`
(`cli/public/scoresmith/clone.py`).
"""

import re
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

DATA = {
    "sds": ["py.typed", "teachers/embedded/**/*"],
    "representations": ["py.typed"],
    "students": ["py.typed", "shipped/**/*"],
    "cli": ["py.typed", "viewer/assets/*", "blender/addon/*.toml"],
}
"""What beside programs each room holds."""

IMPORT = re.compile(rf"^(\s*from )((?:{'|'.join(DATA)})(?:\.\w+)* import )", re.MULTILINE)


def inside_the_package(source: str) -> str:
    """Source text of a room as it is inside the package `scoresmith`."""
    return IMPORT.sub(r"\1scoresmith.\2", source)


class RoomsInside(build_py):
    """Copies what a wheel shall hold, with imports as they are inside the package."""

    def run(self) -> None:
        """Build."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # nothing of an earlier build gets in
        super().run()
        if not self.editable_mode:
            for file in Path(self.build_lib).rglob("*.py"):
                file.write_text(inside_the_package(file.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> None:
    """What setuptools asks this file for."""
    prefix = "" if "editable_wheel" in sys.argv else "scoresmith."
    rooms = find_packages(include=[f"{room}*" for room in DATA])
    setup(
        packages=["scoresmith", *(prefix + name for name in rooms)],
        package_dir={"scoresmith": "cli/public/scoresmith"} | {prefix + room: room for room in DATA},
        package_data={"scoresmith": ["py.typed"]} | {prefix + room: files for room, files in DATA.items()},
        cmdclass={"build_py": RoomsInside},
    )


if __name__ == "__main__":
    main()
