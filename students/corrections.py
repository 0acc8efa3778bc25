"""The low-rank corrections of a finished student, in the file that diffusers' ``load_lora_weights`` takes.

The student's folder holds the whole network with the corrections added to it; this file beside it turns the teacher,
or another fine-tuned copy of what the teacher is, into the same kind of few-step generator::

    pipeline.load_lora_weights("outputs/student")
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from sds.checkpoint import written_whole
from sds.lora import corrections
from students.student import Student

CORRECTIONS = "pytorch_lora_weights.safetensors"
"""What diffusers calls such a file, so that naming the folder is enough."""


def save_corrections(student: Student, component: str, folder: Path) -> None:
    """Write the corrections of a student of low rank; of any other remove such a file.

    Args:
        student: whose network is the pipeline's ``component``.
        component: "unet" or "transformer".
        folder: the student's.
    """
    learned = corrections(student.network)
    if not learned:
        (folder / CORRECTIONS).unlink(missing_ok=True)
        return
    with written_whole(folder / CORRECTIONS) as temporary:
        save_file({f"{component}.{name}": tensor.contiguous() for name, tensor in learned.items()}, temporary)
