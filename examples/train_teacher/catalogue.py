"""Finds named meshes: in Sweet Home 3D catalogues (``*.sh3f``) or in a folder of mesh files."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

_PROPERTIES = "PluginFurnitureCatalog.properties"
_LARGEST_MEMBER = 256 * 2**20


@dataclass(frozen=True)
class CatalogueEntry:
    """One named 3D model.

    Attributes:
        key: identifies the entry, e.g. ``"Scopia#bus"``.
        name: what the catalogue calls it, e.g. ``"Bus"``.
        library: the catalogue it comes from.
        creator: who made it, as the catalogue says.
        mesh: path of the mesh file.
        size: width, height, depth in the catalogue's units, or None: the mesh keeps its own proportions.
        rotation: (3, 3) turns the mesh's own coordinates into the catalogue's (+Y up, front at +Z).
    """

    key: str
    name: str
    library: str
    creator: str
    mesh: Path
    size: tuple[float, float, float] | None
    rotation: NDArray[np.float64]


def read_catalogues(folder: Path, extracted: Path) -> list[CatalogueEntry]:
    """Reads every ``*.sh3f`` file of a folder, unpacking the models.

    Args:
        folder: where the catalogues are, e.g. ``/usr/share/sweethome3d/furniture``.
        extracted: where the models are unpacked to; one folder a catalogue, unpacked once.

    Returns:
        The entries, by catalogue and then in the catalogue's own order.

    Raises:
        FileNotFoundError: there is no catalogue in the folder.
        ValueError: an archive names paths outside itself or is implausibly large.
    """
    archives = sorted(folder.glob("*.sh3f"))
    if not archives:
        raise FileNotFoundError(f"no *.sh3f catalogue in {folder}: install or unpack a Sweet Home 3D furniture library")
    entries: list[CatalogueEntry] = []
    for archive in archives:
        target = extracted / archive.stem
        with zipfile.ZipFile(archive) as opened:
            if not target.exists():
                _extract(opened, target)
            properties = opened.read(_PROPERTIES).decode("latin-1")
        entries.extend(_parse(properties, archive.stem, target))
    return entries


def read_mesh_folder(folder: Path) -> list[CatalogueEntry]:
    """Takes every mesh file below a folder; the file's name says what it is (``office_chair-2.glb`` -> "office chair").

    Raises:
        FileNotFoundError: there is no mesh file.
    """
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in {".obj", ".glb", ".gltf", ".ply", ".stl"}
    )
    if not paths:
        raise FileNotFoundError(f"no mesh (.obj, .glb, .gltf, .ply, .stl) below {folder}")
    return [
        CatalogueEntry(
            key=path.relative_to(folder).as_posix(),
            name=re.sub(r"[\W\d_]+", " ", path.stem).strip(),
            library=folder.name,
            creator="",
            mesh=path,
            size=None,
            rotation=np.eye(3),
        )
        for path in paths
    ]


def _extract(archive: zipfile.ZipFile, target: Path) -> None:
    """Unpacks models and textures; the folder appears only when everything is there."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    root = partial.resolve()
    for member in archive.infolist():
        if not (partial / member.filename.lstrip("/")).resolve().is_relative_to(root):
            raise ValueError(f"{archive.filename}: refuses to unpack {member.filename!r} outside its folder")
        if member.file_size > _LARGEST_MEMBER:
            raise ValueError(f"{archive.filename}: {member.filename!r} is too large ({member.file_size} bytes)")
        archive.extract(member, partial)
    partial.rename(target)


def _parse(properties: str, library: str, folder: Path) -> Iterator[CatalogueEntry]:
    fields: dict[int, dict[str, str]] = {}
    for line in properties.splitlines():
        if match := re.match(r"\s*([A-Za-z]+)#(\d+)\s*=\s*(.*)", line):
            fields.setdefault(int(match[2]), {})[match[1]] = match[3].strip()
    for number in sorted(fields):
        entry = fields[number]
        if "model" not in entry:
            continue
        rotation = np.eye(3)
        if "modelRotation" in entry:
            rotation = np.array([float(word) for word in entry["modelRotation"].split()]).reshape(3, 3)
        mesh = folder / unquote(entry["model"]).lstrip("/")
        if not mesh.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{library}: entry {number} names a model outside the catalogue: {entry['model']!r}")
        yield CatalogueEntry(
            key=entry["id"],
            name=entry["name"],
            library=library,
            creator=entry.get("creator", ""),
            mesh=mesh,
            size=(float(entry["width"]), float(entry["height"]), float(entry["depth"])),
            rotation=rotation,
        )
