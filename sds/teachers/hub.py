"""Finding a teacher by a path or by its name on the Hugging Face hub. The only file here that can use the network."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from sds.teachers.folder import TeacherFolder, TeacherFolderError, blaming, checked_json, open_teacher_folder

DATA_FILES = re.compile(r"[\w.-]+\.(json|txt|safetensors)|spiece\.model")
"""The files of a component that a teacher is made of. Everything else, code and pickles among it, stays away."""


REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""How a repository is named."""


def nothing_at_all(_component: str, _class_name: str) -> bool:
    """No weights are here."""
    return False


def find_teacher_folder(
    name: str | Path,
    allow_download: bool = False,
    half_is_enough: bool = False,
    holding: Callable[[str, str], bool] = nothing_at_all,
) -> TeacherFolder:
    """Opens a local folder, or else a repository of the hub: as it is there, or else its copy in the local cache.

    Args:
        name: a path, which always wins, or a repository's name, "owner/name".
        allow_download: whether the network may be used; without it, or where it fails, the cached copy is taken.
        half_is_enough: whether half-precision copies of the weights are downloaded where there are such.
        holding: says of a component and its class whether its weights are already here, and are not downloaded.

    Raises:
        TeacherFolderError: if nothing is found, nothing may be downloaded, or what is there is broken or unsafe.
    """
    path = Path(name).expanduser()
    if path.exists():
        return open_teacher_folder(path)
    repository = str(name)
    if not REPOSITORY.fullmatch(repository):
        raise TeacherFolderError(f"there is no folder {name}")
    if not allow_download:
        return open_teacher_folder(cached(repository))
    try:
        found = downloaded(repository, half_is_enough, holding)
    except TeacherFolderError as error:
        try:
            found = cached(repository)
        except TeacherFolderError:
            raise error from None
        warnings.warn(f"{error}; the copy on this machine is taken", stacklevel=2)
    return open_teacher_folder(found)


def cached(repository: str) -> Path:
    """The copy of a repository in the hub's cache on this machine. Raises TeacherFolderError if there is none."""
    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except (OSError, ValueError) as error:
        raise TeacherFolderError(
            f"there is no folder {repository} and no copy of the repository {repository} on this machine; "
            "check the path, or allow the download (allow_download=True)"
        ) from error


def find_component(name: str | Path, allow_download: bool = False) -> Path:
    """A folder with the configuration and weights of one network: a local one, or a repository of the hub.

    Raises:
        TeacherFolderError: if there is none.
    """
    path = Path(name).expanduser()
    if path.exists():
        if not (path / "config.json").is_file():
            raise TeacherFolderError(f"{path} has no config.json: it must be the folder of one network")
        return path
    if not REPOSITORY.fullmatch(str(name)):
        raise TeacherFolderError(f"there is no folder {name}")
    wanted = ["config.json", "diffusion_pytorch_model.safetensors"]
    with blaming(str(name), "is no folder here, and cannot be had from the hub"):
        return Path(snapshot_download(str(name), allow_patterns=wanted, local_files_only=not allow_download))


def downloaded(
    repository: str, half_is_enough: bool = False, holding: Callable[[str, str], bool] = nothing_at_all
) -> Path:
    """The folder of a hub repository in the local cache; fetches what is missing, configurations and weights only.

    See `find_teacher_folder` for the arguments.

    Raises:
        TeacherFolderError: if the repository, or a needed file of it, cannot be had.
    """
    with blaming(repository, "cannot be fetched from the hub"):
        index = checked_json(Path(hf_hub_download(repository, "model_index.json")))
        wanted = needed_files(index, HfApi().list_repo_files(repository), half_is_enough)
        held = {name for name, entry in index.items() if is_class(entry) and holding(name, entry[1])}
        wanted = [file for file in wanted if file.split("/")[0] not in held or not file.endswith(".safetensors")]
        return Path(snapshot_download(repository, allow_patterns=wanted))


def needed_files(index: Mapping[str, Any], files: Iterable[str], half_is_enough: bool = False) -> list[str]:
    """Which of a repository's ``files`` make a teacher: the data of the components in its ``index``.

    Of each component there is one copy of the weights: the half-precision one (`.fp16.`, `.bf16.`) if it is all there
    is, or enough; training averages (`non_ema`) never.
    """
    components = {name for name, entry in index.items() if is_class(entry)}
    wanted = ["model_index.json"]
    unused = UNUSED - ({"image_encoder"} if components & {"clip_camera_projection", "cc_projection"} else set())
    for component in sorted(components - unused):
        inside = {file for file in files if file.startswith(f"{component}/") and "non_ema" not in file}
        data = sorted(file for file in inside if DATA_FILES.fullmatch(file.removeprefix(f"{component}/")))
        weights = [file for file in data if ".safetensors" in file]
        copies = {variant: [file for file in weights if f".{variant}" in file] for variant in ("fp16", "bf16")}
        full = [file for file in weights if not any(file in copy for copy in copies.values())]
        halves = [copy for copy in copies.values() if copy]
        chosen = halves[0] if halves and (half_is_enough or not full) else full
        wanted += [file for file in data if file not in weights or file in chosen]
    return wanted


def is_class(entry: Any) -> bool:
    """Whether an entry of an index names a library and a class: not None, what it is for what is left out."""
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(name, str) for name in entry)


UNUSED = {"safety_checker", "feature_extractor", "watermarker", "image_encoder"}
"""Components that a teacher never uses; the image encoder is one of those that are told a picture."""
