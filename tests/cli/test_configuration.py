"""Options in files say the same as on the command line, and every run writes one that repeats it."""

import argparse
import subprocess
from pathlib import Path

import pytest

from cli.commands.generate_requests import requests_of
from cli.configuration import toml_of, with_configuration
from cli.errors import UserError
from cli.main import main, options_of
from cli.scenes.request import Request


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("prompts", nargs="*")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--stages", type=lambda text: tuple(text.split(",")))
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--negative", default="")
    parser.add_argument("--prompt", action="append")
    parser.add_argument("--live", action="store_true")
    return parser


def parsed(parser: argparse.ArgumentParser, path: Path, text: str, *arguments: str) -> dict[str, object]:
    path.write_text(text, encoding="utf-8")
    return vars(parser.parse_args(with_configuration(parser, [*arguments, "--config", str(path)])))


def test_a_file_says_what_a_command_line_says(parser: argparse.ArgumentParser, tmp_path: Path):
    text = """
    prompts = ["a red chair", "a 'blue' \\"mug\\""]
    stages = ["nerf", "mesh"]
    guidance-scale = 7
    negative = "--blurred"
    prompt = ["one", "two"]
    live = true
    """
    options = parsed(parser, tmp_path / "run.toml", text)
    assert options == {
        "prompts": ["a red chair", "a 'blue' \"mug\""],
        "config": None,
        "stages": ("nerf", "mesh"),
        "guidance_scale": 7.0,
        "negative": "--blurred",
        "prompt": ["one", "two"],
        "live": True,
    }


def test_the_command_line_wins(parser: argparse.ArgumentParser, tmp_path: Path):
    text = 'prompts = ["a chair"]\nguidance_scale = 7\nlive = false'
    options = parsed(parser, tmp_path / "run.toml", text, "a mug", "--guidance-scale", "2")
    assert (options["prompts"], options["guidance_scale"], options["live"]) == (["a mug"], 2.0, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "knows no 'sed'"),
        ("guidence-scale = 1", "did you mean guidance_scale"),
        ("live = 1", "true or false"),
        ("[negative]\na = 1", "no text, number"),
        ("seed = ", "Invalid value"),
        ("config = 'other.toml'", "knows no 'config'"),
    ],
)
def test_what_a_file_cannot_say(parser: argparse.ArgumentParser, tmp_path: Path, text: str, message: str):
    with pytest.raises(UserError, match=message):
        parsed(parser, tmp_path / "run.toml", text)


def test_a_file_that_is_none(parser: argparse.ArgumentParser, tmp_path: Path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_bytes(b"#" * 2**21)
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "bytes", tmp_path / "large"):
        with pytest.raises(UserError, match="--config"):
            with_configuration(parser, ["--config", str(path)])


def test_the_command_says_so_in_one_line(capsys: pytest.CaptureFixture[str]):
    assert main(["generate", "--config", "no/such/file.toml"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_request_survives_its_file(tmp_path: Path):
    request = Request('a "red" chair', method="vsd", seed=7, stages=("nerf",), guidance_scale=2.5, perp_neg=True)
    changed = Request("a mug", teacher="a.safetensors", teacher_config="b", teacher_lora=("c:0.5", "d"), offload=True)
    for wanted in (request, Request("a mug"), changed):
        (tmp_path / "run.toml").write_text(toml_of(wanted))
        assert requests_of(options_of(["generate", "--config", str(tmp_path / "run.toml")])) == [wanted]


def test_a_run_is_repeated_by_the_file_that_it_wrote(tiny_teacher: Path, tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    options = ["--teacher", str(tiny_teacher), "--steps", "2", "--seed", "3", "--method", "csd", "--stages", "nerf"]
    assert main(["generate", "a ball", *options, "--out", str(one)]) == 0
    assert main(["generate", "--config", str(one / "run.toml"), "--out", str(other)]) == 0
    assert (one / "mesh.glb").read_bytes() == (other / "mesh.glb").read_bytes()
    assert (one / "run.toml").read_text() == (other / "run.toml").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_shells_are_told_every_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("generate", "distill", "guidance-scale", "retexture", "completion"):
        assert word in script


def test_a_shell_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    typed = "COMP_WORDS=(scoresmith generate --ret); COMP_CWORD=2"
    program = f"source {tmp_path / 'script'}; {typed}; _shtab_scoresmith; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--retexture"]
