"""How what a prompt asks for reflects light: constants for the whole object, by what it is said to be made of."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from cli.scenes.request import Request
from cli.teachers import small_teacher_folder
from representations.assets.asset import Asset
from sds.teachers.embedded_words import Lexicon, Understanding
from sds.teachers.materials import MATERIALS


def reflecting(asset: Asset, request: Request) -> Asset:
    """The asset with the roughness and the metallic factor of what its prompt says that it is made of.

    Only where the teacher draws colours without light, which a program that shows the asset lights by itself; and only
    if all things of the prompt are of one material, since the constants are those of the whole asset.
    """
    said = _understood(request)
    if said is None:
        return asset
    materials = {thing.material for thing in said.things}
    material = MATERIALS.get(materials.pop() or "") if len(materials) == 1 else None
    if material is None:
        return asset
    return replace(asset, material=replace(asset.material, roughness=material.roughness, metallic=material.metallic))


def _understood(request: Request) -> Understanding | None:
    folder = small_teacher_folder(request.teacher)
    words = None if folder is None else folder / "words"
    return _lexicon(words).understand(request.prompt) if words is not None and words.is_dir() else None


@lru_cache(maxsize=2)
def _lexicon(folder: Path) -> Lexicon:
    return Lexicon.load(folder)
