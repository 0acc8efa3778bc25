"""Turns a student that ``scoresmith distill`` made into the folder that is shipped: half precision, nothing private."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from diffusers import UNet2DConditionModel

TRAINING = Path("training")


def publish_student(student: Path, out: Path) -> None:
    """Writes the student's folder with weights in half precision; of its training only what was asked for is kept."""
    shutil.copytree(student, out, ignore=shutil.ignore_patterns("training", "unet"), dirs_exist_ok=True)
    UNet2DConditionModel.from_pretrained(student / "unet").half().save_pretrained(out / "unet")
    forget_path(out / "unet" / "config.json")
    (out / TRAINING).mkdir(exist_ok=True)
    described = json.loads((student / TRAINING / "run.json").read_text(encoding="utf-8"))
    for name in ("images", "teacher"):
        described["request"][name] = Path(described["request"][name]).name
    (out / TRAINING / "run.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in out.rglob("*.safetensors"))
    print(f"{out}: {size / 1e6:.1f} MB")


def forget_path(config: Path) -> None:
    """Removes from a network's configuration where it was loaded from."""
    content = json.loads(config.read_text(encoding="utf-8"))
    content.pop("_name_or_path", None)
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", type=Path, required=True, help="what `scoresmith distill` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the folder to ship")
    arguments = parser.parse_args()
    publish_student(arguments.student, arguments.out)


if __name__ == "__main__":
    main()
