"""In a clone the rooms are folders of the repository: `scoresmith.sds` is another name of the very same `sds`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType

ROOMS = ("sds", "representations", "students", "cli")


class RoomsBeside(MetaPathFinder, Loader):
    """Finds `scoresmith.ROOM...` as what `ROOM...` is."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        del path, target
        inside, _, name = fullname.partition(".")
        if inside != "scoresmith" or name.partition(".")[0] not in ROOMS or find_spec(name) is None:
            return None
        return spec_from_loader(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, not a second one: a class has one identity under both names."""
        module = import_module(spec.name.removeprefix("scoresmith."))
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already; what the import machinery has noted on it is set back."""
        module.__spec__ = self._own_spec


def find_rooms_beside() -> None:
    """Let imports find the rooms; a second call changes nothing."""
    if not any(isinstance(finder, RoomsBeside) for finder in sys.meta_path):
        sys.meta_path.insert(0, RoomsBeside())  # before the finder of files, which would load them a second time
