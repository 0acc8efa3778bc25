"""Finding a teacher by a path or by its name on the Hugging Face hub. The only file here that can use the network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from sds.teachers.folder import TeacherFolder, TeacherFolderError, blaming, checked_json, open_teacher_folder

DATA_FILES = re.compile(r"[\w.-]+\.(json|txt|safetensors)|spiece\.model")
"""The files of a component that a teacher is made of. Everything else, code and pickles among it, stays away."""


def find_teacher_folder(name: str | Path, allow_download: bool = False) -> TeacherFolder:
    """Opens a local folder, or else a copy of a hub repository in the local cache, or else downloads one.

    Args:
        name: a path, which always wins, or a repository's name, "owner/name".
        allow_download: whether the network may be used if neither is there.

    Raises:
        TeacherFolderError: if nothing is found, nothing may be downloaded, or what is there is broken or unsafe.
    """
    path = Path(name).expanduser()
    if path.exists():
        return open_teacher_folder(path)
    repository = str(name)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repository):
        raise TeacherFolderError(f"there is no folder {name}")
    if allow_download:
        return open_teacher_folder(downloaded(repository))
    try:
        cached = snapshot_download(repository, local_files_only=True)
    except (OSError, ValueError) as error:
        raise TeacherFolderError(
            f"there is no folder {name} and no copy of the repository {repository} on this machine; "
            "check the path, or allow the download (allow_download=True)"
        ) from error
    return open_teacher_folder(cached)


def downloaded(repository: str) -> Path:
    """The folder of a hub repository in the local cache; fetches what is missing, configurations and weights only.

    Raises:
        TeacherFolderError: if the repository, or a needed file of it, cannot be had.
    """
    with blaming(repository, "cannot be fetched from the hub"):
        index = checked_json(Path(hf_hub_download(repository, "model_index.json")))
        wanted = needed_files(index, HfApi().list_repo_files(repository))
        return Path(snapshot_download(repository, allow_patterns=wanted))


def needed_files(index: Mapping[str, Any], files: Iterable[str]) -> list[str]:
    """Which of a repository's ``files`` make a teacher: the data of the components in its ``index``.

    Half-precision copies (`.fp16.`) and training averages (`non_ema`) are left out where the full weights are there.
    """
    components = {name for name, entry in index.items() if isinstance(entry, list) and entry != [None, None]}
    wanted = ["model_index.json"]
    present = set(files)
    for file in sorted(present):
        component, _, name = file.partition("/")
        full = re.sub(r"[.-]fp16(?=[.-])|\.non_ema(?=[.-])", "", file)
        is_copy = full != file and (full in present or "non_ema" in file)
        if component in components - UNUSED and DATA_FILES.fullmatch(name) and not is_copy:
            wanted.append(file)
    return wanted


UNUSED = {"safety_checker", "feature_extractor", "watermarker", "image_encoder"}
"""Components that a teacher never uses."""
