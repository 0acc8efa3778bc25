"""Stands for `scoresmith generate --live`: serves a page of one surface, and ends when that was seen, as told."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

arguments, _, prompt = " ".join(sys.argv[1:]).partition(" -- ")
folder = next(Path(word.removeprefix("--out=")) for word in sys.argv if word.startswith("--out="))
seen = threading.Event()


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        state = {"progress": 0.25, "sentence": "Step 1 of 4", "surfaces": 1, "finished": seen.is_set()}
        answer = json.dumps(state).encode() if self.path == "/state.json" else b"glTF now"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)
        if self.path == "/now.glb":
            seen.set()

    def log_message(self, *_: object) -> None:
        pass


if "fails" in prompt:
    print("a warning\nscoresmith: the prompt names nothing", file=sys.stderr)
    sys.exit(2)
with HTTPServer(("127.0.0.1", 0), Page) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"scoresmith: watch it at http://127.0.0.1:{server.server_port}/", file=sys.stderr, flush=True)
    seen.wait(60 if "endless" not in prompt else None)
    if "endless" in prompt:
        threading.Event().wait()
folder.mkdir()
(folder / "mesh.glb").write_bytes(b"glTF in the end")
(folder / "told.txt").write_text(f"{arguments}|{prompt}")
