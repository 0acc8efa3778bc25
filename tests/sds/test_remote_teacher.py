"""A teacher behind a port says what it says at home, to several clients at once, and to nobody else."""

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cli.main import main
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from sds.teachers.remote.client import RemoteTeacher, RemoteTeacherError
from sds.teachers.remote.messages import MessageError, packed, unpacked
from sds.teachers.remote.server import TeacherServer, Together
from tests.cli.conftest import small_runs  # noqa: F401  # sizes that take moments
from tests.sds import tiny_pipelines as tiny
from tests.sds.toys import ToyTeacher, views

TIMES = torch.tensor([0.3, 0.7], dtype=torch.float64)


def served(teacher: DiffusersTeacher | ToyTeacher) -> Iterator[TeacherServer]:
    with TeacherServer(teacher, "cpu", port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> DiffusersTeacher:
    work = tmp_path_factory.mktemp("teacher")
    tiny.stable_diffusion(work / "work").save_pretrained(work / "teacher")
    return load_diffusers_teacher(work / "teacher")


@pytest.fixture
def server(home: DiffusersTeacher) -> Iterator[TeacherServer]:
    yield from served(home)


def test_everything_is_as_at_home(home: DiffusersTeacher, server: TeacherServer) -> None:
    away = RemoteTeacher(server.address)
    assert (away.shape, away.knows_views, away.takes_sentences) == (home.shape, False, True)
    for here, there in zip(home.schedule(TIMES), away.schedule(TIMES), strict=True):
        torch.testing.assert_close(there, here, rtol=0, atol=0)
    torch.testing.assert_close(away.schedule.timestep(TIMES), home.schedule.timestep(TIMES), rtol=0, atol=0)

    prompts, x_t = ["a red chair", "a cat"], torch.randn(2, *home.shape)
    told = home.condition(prompts, None)
    torch.testing.assert_close(away.condition(prompts, None).tensors["text"], told.tensors["text"], rtol=0, atol=0)
    torch.testing.assert_close(away(x_t, TIMES, away.condition(prompts, None)), home(x_t, TIMES, told))

    images = [torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)).requires_grad_() for _ in range(2)]
    for teacher, image in zip((home, away), images, strict=True):
        x = teacher.encode(image)
        (x * torch.linspace(-1, 1, x.numel()).reshape(x.shape)).sum().backward()
        torch.testing.assert_close(teacher.decode(x.detach()), home.decode(x.detach()))
    torch.testing.assert_close(images[1].grad, images[0].grad)


def test_views_travel_to_a_teacher_that_knows_them() -> None:
    for server in served(ToyTeacher(knows_views=True)):
        away = RemoteTeacher(server.address)
        assert len(away.condition(["ab", "c"], views(2))) == 2


def test_questions_that_wait_are_asked_in_one_call() -> None:
    teacher = ToyTeacher()
    together = Together(teacher, most_rows=6)
    questions = [(torch.randn(2, 3, 4, 4), TIMES, teacher.condition(["ab", "c"])) for _ in range(5)]
    with ThreadPoolExecutor(5) as clients:
        with together.turn:  # the card is busy while all of them come
            first = clients.submit(together.ask, *questions[0])
            while together._waiting.qsize():
                threading.Event().wait(0.01)
            others = [clients.submit(together.ask, *question) for question in questions[1:]]
            while together._waiting.qsize() < 4:
                threading.Event().wait(0.01)
        answers = [answer.result() for answer in (first, *others)]
    assert together.calls == 3  # 2 rows, 6 rows, 2 rows
    for question, answer in zip(questions, answers, strict=True):
        torch.testing.assert_close(answer, teacher(*question))


def test_an_error_of_one_question_reaches_who_asked(server: TeacherServer) -> None:
    away = RemoteTeacher(server.address)
    told = away.condition(["a cat"], None)
    with pytest.raises(RemoteTeacherError, match="shape"):
        away(torch.zeros(1, 4, 3, 3), TIMES[:1], told)
    assert away(torch.zeros(1, *away.shape), TIMES[:1], told).shape == (1, *away.shape)  # it goes on


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"no message", {}, 400),
        (packed({"t": TIMES}), {"Host": "evil.example"}, 403),
        (packed({}), {}, 400),
        (packed({"t": torch.full((1,), 7.0)}), {}, 400),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(server: TeacherServer, content, headers, status: int) -> None:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request("POST", "/levels", content, headers)
    response = connection.getresponse()
    assert response.status == status
    assert b"\n" not in response.read()


def test_a_connection_that_was_closed_meanwhile_is_opened_again(server: TeacherServer, monkeypatch) -> None:
    monkeypatch.setattr("sds.teachers.remote.server._Handler.timeout", 0.05)
    away = RemoteTeacher(server.address)
    threading.Event().wait(0.3)
    assert len(away.condition(["a cat"], None)) == 1


def test_a_message_that_is_none_is_one_error() -> None:
    for content in (b"", b"12345678", b"\xff" * 40, packed({})[:-3], packed({})[:12]):
        with pytest.raises(MessageError):
            unpacked(content)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://", "http://127.0.0.1:9/path", "https://127.0.0.1"])
def test_where_no_teacher_is_there_is_one_line(address: str) -> None:
    with pytest.raises(RemoteTeacherError):
        RemoteTeacher(address)


def test_a_run_goes_on_where_its_teacher_fell_silent_and_begins_again_where_it_never_answered() -> None:
    with pytest.raises(RemoteTeacherError, match=r"`scoresmith teacher FOLDER`, and try again"):
        RemoteTeacher("http://127.0.0.1:9")
    with contextmanager(served)(ToyTeacher()) as silent:
        away = RemoteTeacher(silent.address)
        told = away.condition(["a cat"], None)
    away._connection.close()  # what was open would still be answered
    with pytest.raises(RemoteTeacherError, match=r"`scoresmith teacher FOLDER`, and continue with --resume"):
        away(torch.zeros(1, *away.shape), TIMES[:1], told)


def test_a_run_against_a_port(server: TeacherServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "a red chair", "--teacher", server.address, "--steps", "2", "--representation", "pixels"]
    assert main([*words, "--method", "vsd", "--out", str(tmp_path / "vsd")]) == 2
    assert "sds, nfsd and csd do not" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "sds")]) == 0
    assert (tmp_path / "sds" / "preview.png").exists()


def test_a_view_is_all_that_a_view_needs_to_be() -> None:
    view = SimpleNamespace(azimuth=torch.zeros(1), elevation=torch.zeros(1), background=torch.ones(1, 3))
    assert set(unpacked(packed(vars(view), prompts=["a"]))[0]) == {"azimuth", "elevation", "background"}
