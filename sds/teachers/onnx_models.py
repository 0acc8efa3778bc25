"""ONNX files, asked with torch tensors as the networks that they were exported from are.

The package `onnxruntime` is imported when a file is opened, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from sds.teachers.folder import TeacherFolder, TeacherFolderError, blaming

NUMBERS: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
"""The types of inputs, as ONNX Runtime names them."""


class OnnxModel:
    """One ONNX file, asked with torch tensors.

    Args:
        folder, component: where it is.
        device: on which it computes, and its answers are.

    Raises:
        TeacherFolderError: if the package is not installed, or the file is missing, broken or outside the folder.
    """

    def __init__(self, folder: TeacherFolder, component: str, device: torch.device) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise TeacherFolderError(
                f"{folder.path} holds ONNX files, which need ONNX Runtime: pip install onnxruntime"
            ) from None
        path = onnx_file(folder, component)
        for name in folder.names(component):  # weights may lie in files beside it
            folder.file(component, name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        wished = ["CUDAExecutionProvider"] if device.type == "cuda" else []
        available = [name for name in wished if name in onnxruntime.get_available_providers()]
        with blaming(path, "cannot be opened by ONNX Runtime"):
            self.session = onnxruntime.InferenceSession(path, options, providers=[*available, "CPUExecutionProvider"])
        self.place, self.device = path, device
        self.inputs = {one.name: one for one in self.session.get_inputs()}
        strange = [one.type for one in self.inputs.values() if one.type not in NUMBERS]
        if strange:
            raise TeacherFolderError(
                f"{path} takes {strange[0]}, which is not supported; export it in float32 or float16"
            )
        self.outputs = [one.name for one in self.session.get_outputs()]

    def __call__(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All outputs by name, floating-point ones in float32.

        Raises ValueError if ``values`` are not the inputs that the file has.
        """
        if values.keys() != self.inputs.keys():
            raise ValueError(f"{self.place} takes {', '.join(self.inputs)}; there are {', '.join(values)}")
        arrays = {
            name: value.detach().double().cpu().numpy().astype(NUMBERS[self.inputs[name].type])
            for name, value in values.items()
        }
        answers = [torch.from_numpy(answer).to(self.device) for answer in self.session.run(None, arrays)]
        answers = [answer.float() if answer.is_floating_point() else answer for answer in answers]
        return dict(zip(self.outputs, answers, strict=True))


class OnnxDenoiser:
    """An exported denoiser, called as the network of diffusers that it was exported from."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self.image = "sample" if "sample" in model.inputs else "hidden_states"
        shape = model.inputs["timestep"].shape if "timestep" in model.inputs else []
        self.one_time = shape in ([], [1])

    def __call__(self, image: Tensor, timestep: Tensor, **told: Any) -> SimpleNamespace:
        """``sample`` of the answer. A file that takes one time for all images is asked once for each time."""
        added = told.pop("added_cond_kwargs", None) or {}
        told = {name: value for name, value in {**told, **added}.items() if value is not None}
        if not self.one_time:
            return SimpleNamespace(sample=self._answer({self.image: image, "timestep": timestep, **told}))
        answers: dict[int, Tensor] = {}
        for time in dict.fromkeys(timestep.tolist()):
            rows = (timestep == time).nonzero()[:, 0]
            part = {name: value[rows] for name, value in {self.image: image, **told}.items()}
            at = timestep.new_tensor(time).reshape(self.model.inputs["timestep"].shape)
            answers |= dict(zip(rows.tolist(), self._answer({**part, "timestep": at}), strict=True))
        return SimpleNamespace(sample=torch.stack([answers[row] for row in range(len(image))]))

    def _answer(self, values: Mapping[str, Tensor]) -> Tensor:
        return self.model(values)[self.model.outputs[0]]


class OnnxTextNetwork:
    """An exported text encoder, called as that of transformers."""

    def __init__(self, model: OnnxModel) -> None:
        self.model, self.device = model, model.device

    def __call__(self, tokens: Tensor, mask: Tensor | None, output_hidden_states: bool = True) -> SimpleNamespace:
        """The states of a prompt; the last one stands for those before it where they were not exported."""
        del output_hidden_states
        values = {"input_ids": tokens} | ({"attention_mask": mask} if "attention_mask" in self.model.inputs else {})
        found = self.model(cast(Mapping[str, Tensor], values))
        last = found.get("last_hidden_state", next(iter(found.values())))
        return SimpleNamespace(
            last_hidden_state=last,
            hidden_states=[found[name] for name in self.states] if self.states else [last, last],
            text_embeds=found.get("text_embeds"),
            pooler_output=found.get("pooler_output"),
        )

    @property
    def states(self) -> list[str]:
        """The outputs that hold the states between layers, in their order."""
        names = [name for name in self.model.outputs if name.startswith("hidden_states.")]
        return sorted(names, key=lambda name: int(name.rpartition(".")[2]))


def onnx_file(folder: TeacherFolder, component: str) -> Path:
    """model.onnx of a component, or the only ONNX file that it has (model_quantized.onnx).

    Raises TeacherFolderError if there is none, or it is not clear which.
    """
    names = sorted(name for name in folder.names(component) if name.endswith(".onnx"))
    if "model.onnx" not in names and len(names) != 1:
        found = f"has {', '.join(names)}" if names else "has no model.onnx"
        raise TeacherFolderError(
            f"{folder.path / component} {found}; a part of an ONNX teacher is one file, model.onnx"
        )
    return folder.file(component, "model.onnx" if "model.onnx" in names else names[0])
