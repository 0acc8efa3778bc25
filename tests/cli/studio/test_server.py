"""The studio's server does what its own page asks for, as far as it makes sense, and what nobody else does."""

import http.client
import io
import json
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.errors import UserError
from cli.scenes.workers import Workplace
from cli.studio.server import Studio, checked_root
from cli.studio.settings import OFFERED, free_folder, request_of
from cli.studio.settings import settings as offered
from cli.studio.workshop import Workshop
from cli.viewer.server import HOST, PageServer, serve_beside
from tests.cli.studio.pretend_worker import pretend
from tests.cli.viewer.folders import run_folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[PageServer]:
    idle = Workshop(Workplace("embedded", "cpu", overwrite=False), pretend)  # nobody works
    studio = Studio(root, "embedded", idle)
    with PageServer(studio.lookup, 0, studio.act) as server:
        serve_beside(server)
        yield server
        server.shutdown()


def ask(server: PageServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    connection.request(method, path, body or None, headers)
    response = connection.getresponse()
    return response.status, response.read().decode("utf-8", "replace")


def post(server: PageServer, path: str, content: object, **changed: str) -> tuple[int, str]:
    """As the page does, but for the headers that are ``changed``; "" leaves one out."""
    headers = {"Origin": f"http://{HOST}:{server.server_port}", "Content-Type": "application/json"}
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ask(server, "POST", path, body, **{name: value for name, value in headers.items() if value})


def orders(server: PageServer) -> list[dict]:
    return json.loads(ask(server, "GET", "/orders.json")[1])


WISH = {"prompt": "a red cup", "settings": {"seed": "7", "method": "vsd", "steps": ""}}


def test_an_order_is_taken_and_has_a_folder_of_its_own(server: PageServer, root: Path):
    status, answer = post(server, "/orders", WISH)
    assert status == 200, answer
    number = json.loads(answer)["number"]
    order = next(order for order in orders(server) if order["number"] == number)
    assert (order["prompt"], order["seed"], order["stage"]) == ("a red cup", 7, "waiting")
    first = order["folder"]
    status, answer = post(server, "/orders", WISH, Origin=f"http://localhost:{server.server_port}")
    assert status == 200, answer
    assert orders(server)[0]["folder"] != first
    assert {path.name for path in root.iterdir()} >= {first, orders(server)[0]["folder"]}
    assert post(server, f"/orders/{number}/stop", {})[0] == 200
    assert post(server, f"/orders/{number}/stop", {}) == (400, f"order {number} is over\n")
    assert post(server, f"/orders/{number}/continue", {})[0] == 200
    assert post(server, f"/orders/{number}/delete", {})[0] == 404


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://127.0.0.1"},
        {"Content_Type": "text/plain"},  # what a form of another site can send
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Host": "evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_sites_can_order_nothing(server: PageServer, changed: dict[str, str]):
    before = len(orders(server))
    assert post(server, "/orders", WISH, **changed)[0] == 403
    assert len(orders(server)) == before


def test_other_sites_can_look_at_nothing_but_the_first_page(server: PageServer):
    told = {"Sec-Fetch-Site": "cross-site"}
    assert ask(server, "GET", "/orders.json", **told)[0] == 403
    assert ask(server, "GET", "/", **told)[0] == 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"prompt": " ", "settings": {}}, "the prompt is empty"),
        ({"prompt": "x" * 301, "settings": {}}, "301 characters"),
        ({"prompt": "a cup", "settings": {"seed": "-1"}}, "--seed"),
        ({"prompt": "a cup", "settings": {"guidance_scale": "nan"}}, "--guidance-scale"),
        ({"prompt": "a cup", "settings": {"method": "magic"}}, "--method"),
        ({"prompt": "a cup", "settings": {"out": "/etc"}}, "no setting 'out'"),
        ({"prompt": "a cup", "settings": {"init": "/etc/passwd"}}, "no setting 'init'"),
        ({"prompt": "a cup"}, "settings"),
        ({"prompt": 3, "settings": {}}, "prompt"),
        ([], "damaged"),
        (b"{", "damaged"),
        (b"\xff", "damaged"),
        (b"[" * 5000, "damaged"),
    ],
)
def test_what_makes_no_sense_is_said_and_leaves_nothing(server: PageServer, root: Path, content: object, reason: str):
    before = sorted(root.iterdir())
    status, answer = post(server, "/orders", content)
    assert status == 400
    assert reason in answer
    assert answer.count("\n") == 1
    assert sorted(root.iterdir()) == before


def test_a_prompt_that_looks_like_an_option_is_a_prompt():
    assert request_of({"prompt": "--out", "settings": {"negative": "--resume"}}, "embedded").prompt == "--out"


def test_too_much_is_refused(server: PageServer):
    assert post(server, "/orders", b"x" * 70_000)[0] == 413
    assert post(server, "/orders", b"", Content_Length="-1")[0] == 413
    assert post(server, "/orders", b"", Content_Length="1e3")[0] == 413
    for digits in ("9" * 12, "9" * 5000):  # more than memory holds, more than Python makes a number of
        assert post(server, "/orders", b"{}", Content_Length="0" * 9 + digits)[0] == 413


def test_an_order_that_breaks_off_is_none(server: PageServer):
    before = len(orders(server))
    own = f"{HOST}:{server.server_port}"
    with socket.create_connection((HOST, server.server_port), timeout=20) as connection:
        content = json.dumps(WISH).encode()
        head = f"POST /orders HTTP/1.0\r\nHost: {own}\r\nOrigin: http://{own}\r\nContent-Type: application/json\r\n"
        connection.sendall(head.encode() + f"Content-Length: {len(content) + 9}\r\n\r\n".encode() + content)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100).startswith(b"HTTP/1.0 400")
    assert len(orders(server)) == before


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
wishes = json_values | st.fixed_dictionaries(
    {"prompt": st.text(max_size=12), "settings": st.dictionaries(st.sampled_from(OFFERED), st.text(max_size=6))}
)
FUZZ = settings(max_examples=60, derandomize=True)


@FUZZ
@given(wish=wishes)
def test_whatever_is_ordered_is_taken_or_refused(server: PageServer, wish: object):
    status, answer = post(server, "/orders", wish)
    assert status in (200, 400), answer
    if status == 200:
        assert post(server, f"/orders/{json.loads(answer)['number']}/stop", {})[0] == 200


@FUZZ
@given(
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    method=st.sampled_from(("GET", "POST")),
)
def test_whatever_is_asked_for_is_answered(server: PageServer, path: str, method: str):
    for address in (f"/{path}", f"/runs/{path}", f"/orders/{path}"):
        status, _ = post(server, address, {}) if method == "POST" else ask(server, "GET", address)
        assert status in (200, 400, 404), address


def test_objects_are_taken_away_in_every_format(server: PageServer, root: Path, tmp_path: Path):
    run_folder(root / "ball")
    for suffix, scale in ((".glb", 1), (".ply", 1), (".stl", 1000), (".obj", 1)):
        connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
        connection.request("GET", f"/runs/ball/as{suffix}")
        response = connection.getresponse()
        name = f"a-red-ball{'.zip' if suffix == '.obj' else suffix}"
        assert response.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}"
        (tmp_path / name).write_bytes(response.read())
        if suffix == ".obj":
            zipfile.ZipFile(io.BytesIO((tmp_path / name).read_bytes())).extractall(tmp_path)
            name = "a-red-ball.obj"
        mesh = trimesh.load(tmp_path / name, force="mesh")
        assert (len(mesh.faces), max(mesh.extents)) == (1280, pytest.approx(scale * 2, rel=0.5))
    assert ask(server, "GET", "/runs/ball/as.exe")[0] == 404
    assert 'href="as.obj"' in ask(server, "GET", "/runs/ball/")[1]


def test_the_settings_are_those_of_the_command():
    shown = {setting.name: setting for setting in offered()}
    assert {"sds", "nfsd", "vsd", "csd"} <= set(shown["method"].choices)
    assert (shown["seed"].default, shown["seed"].is_number) == ("", True)
    assert "another seed is another object" in shown["seed"].help


def test_folders_are_never_shared(tmp_path: Path):
    assert free_folder(tmp_path, "a cat").name == "a-cat"
    (tmp_path / "a-cat").mkdir()
    (tmp_path / "a-cat-2").symlink_to("nowhere")
    assert free_folder(tmp_path, "A cat!").name == "a-cat-3"


def test_the_folder_of_all_runs_is_no_run(tmp_path: Path):
    with pytest.raises(UserError, match="is a run itself"):
        checked_root(run_folder(tmp_path / "run").path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        checked_root(tmp_path / "file" / "runs")
    assert checked_root(tmp_path / "new" / "runs").is_dir()
