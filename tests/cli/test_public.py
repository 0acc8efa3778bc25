"""`import scoresmith`: one name for everything, in a clone as in an installation."""

import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

import cli.api
import scoresmith
import sds.engine

PUBLIC = Path(scoresmith.__file__).parents[1]


def test_the_calls_are_those_of_the_rooms():
    from scoresmith import text_to_3d

    assert text_to_3d is cli.api.text_to_3d
    assert set(scoresmith.__all__) == {name for name in scoresmith.__all__ if callable(getattr(scoresmith, name))}
    assert set(scoresmith.__all__) <= set(dir(scoresmith))
    with pytest.raises(AttributeError, match="no attribute 'text_to_4d'"):
        attrgetter("text_to_4d")(scoresmith)


def test_a_room_has_one_identity_under_both_names():
    import scoresmith.sds.engine

    assert scoresmith.sds.engine is sds.engine
    assert sds.engine.__spec__ is not None
    assert sds.engine.__spec__.name == "sds.engine"
    with pytest.raises(ModuleNotFoundError, match=r"scoresmith\.sds\.nonsense"):
        __import__("scoresmith.sds.nonsense")
    with pytest.raises(ModuleNotFoundError, match=r"scoresmith\.os"):
        __import__("scoresmith.os")


def test_the_module_is_the_command_and_loads_nothing_heavy():
    program = "import sys, scoresmith; print('torch' in sys.modules)"
    environment = {"PYTHONPATH": f"{PUBLIC}:{PUBLIC.parents[1]}", "PATH": ""}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
    command = [sys.executable, "-m", "scoresmith", "--version"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.startswith("scoresmith ")
