"""A teacher that was changed while it was loaded, written as the folder that it would have come from.

A student's folder holds its teacher's other parts. Of a single file, or with a LoRA or learned words on the text
encoders, those are in no folder until this writes them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights

from sds.checkpoint import written_whole
from sds.teachers.architectures import denoisers
from sds.teachers.codec_loading import AUTOENCODERS
from sds.teachers.connection import Site
from sds.teachers.diffusers import find_teacher
from sds.teachers.folder import TeacherFolder, blaming
from sds.teachers.learned_words import read_word
from sds.teachers.lora_files import LoraFile, Named, add_lora, read_lora
from sds.teachers.options import TeacherOptions
from sds.teachers.single_file import holds, is_single_file
from sds.teachers.weights import load_network, public_values

NETWORKS = ("unet", "transformer")


@contextmanager
def parts_of(name: str | Path, options: TeacherOptions, dtype: torch.dtype) -> Iterator[Path]:
    """A folder with all of a teacher but perhaps its network's weights: its own, or a passing one if it was changed.

    See `write_other_parts` for what is given and raised.
    """
    if not options.change_encoders and not is_single_file(name):
        yield find_teacher(name, options).path
        return
    with tempfile.TemporaryDirectory() as place:
        write_other_parts(name, options, dtype, Path(place))
        yield Path(place)


def write_other_parts(name: str | Path, options: TeacherOptions, dtype: torch.dtype, out: Path) -> None:
    """Writes all of a changed teacher but the weights of its denoising network.

    Args:
        name: of the teacher, as `sds.teachers.diffusers.load_diffusers_teacher` takes it.
        options: its changes.
        dtype: of the weights that are written: what the teacher computes in.
        out: an empty folder.

    Raises:
        TeacherFolderError: as the teacher's loading does.
    """
    folder = find_teacher(name, options)  # it was loaded before: nothing needs to be fetched
    component = next(one for one in NETWORKS if folder.has(one))
    site = Site(
        *(folder, component, (0, 0), torch.device("cpu"), dtype),
        loras=changes_of_encoders(folder, component, options),
        words=[read_word(file) for file in options.words],
    )
    index: dict[str, Any] = dict(folder.index)
    for part in sorted(one for one in folder.index if folder.has(one) and one != component):  # tokenizers come last
        if part.startswith("text_encoder") and (options.change_encoders or folder.checkpoint is not None):
            suffix = part.removeprefix("text_encoder")
            encoder = site.encoder(suffix)
            encoder.network.save_pretrained(out / part, safe_serialization=True)
            encoder.tokenizer.save_pretrained(out / f"tokenizer{suffix}")
        elif part == "vae" and folder.checkpoint is not None and holds(folder.checkpoint, part, ""):
            load_network(folder, "vae", AUTOENCODERS, dtype).save_pretrained(out / "vae", safe_serialization=True)
        elif not (folder.path / part).is_dir():
            index[part] = [None, None]  # what only describes a file may lack parts that no teacher uses
        elif not (out / part).exists():
            shutil.copytree(folder.path / part, out / part)
    with written_whole(out / "model_index.json") as temporary:
        temporary.write_text(json.dumps(index, indent=2) + "\n")


def changes_of_encoders(
    folder: TeacherFolder, component: str, options: TeacherOptions
) -> list[tuple[LoraFile, dict[str, Named]]]:
    """What the LoRA files have for text encoders, as `add_lora` tells it apart from what is for the network."""
    if not options.loras:
        return []
    network_class = folder.choose(component, denoisers(folder, component))
    config = public_values(folder.read_json(component, "config.json"))
    with blaming(folder.path / component, "config.json makes no network"), init_empty_weights():
        network = network_class.from_config(config)
    return [(lora, add_lora(network, component, lora)) for lora in map(read_lora, options.loras)]
