"""Where the finished runs of a cluster go: a folder, or any place that fsspec knows (s3://, gs://, sftp://, memory://).

A run is whole when its run.json is there, which is written last; so whoever is interrupted leaves nothing that could be
taken for a finished run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cli.errors import UserError
from cli.files import parsed
from cli.scenes.batch import MANIFEST, Job, described
from cli.scenes.records import MetricsRecord, RunRecord

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LAST = "run.json"
METRICS = "metrics.json"
TABLE = "manifest.parquet"


class Store:
    """A place for runs.

    Args:
        address: a folder, or an address of fsspec.

    Raises UserError if fsspec knows no such place.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            self._files, self._root = self._opened(address)
        except (ImportError, ValueError, OSError) as error:
            raise UserError(f"--results {address} cannot be opened: {error}") from None

    @staticmethod
    def _opened(address: str) -> tuple[AbstractFileSystem, str]:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(address)
        return files, str(root).rstrip("/")

    def place(self, *names: str) -> str:
        """A file or folder of the store, as its file system calls it."""
        return "/".join((self._root, *names))

    def finished(self, jobs: Sequence[Job]) -> set[str]:
        """The names of those jobs whose runs are here, whole.

        Raises UserError if another run is in the place of one of them.
        """
        found = set()
        for job, content in zip(jobs, self._read([job.path.name for job in jobs], LAST), strict=True):
            if content is None:
                continue
            if not is_of(job, content):
                raise UserError(
                    f"{self.address}: {job.path.name} holds another run; choose another --results, or --overwrite"
                )
            found.add(job.path.name)
        return found

    def put(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write the files of a run, run.json last."""
        self._files.makedirs(self.place(name), exist_ok=True)
        for file in sorted(files, key=lambda file: file == LAST):
            self._files.pipe_file(self.place(name, file), files[file])

    def write_manifest(self, jobs: Sequence[Job], errors: Mapping[str, str], as_table: bool = False) -> str:
        """Write what became of each object, and what was measured.

        Args:
            jobs: all objects.
            errors: why some of them failed, by the names of their folders.
            as_table: as Parquet, with a column for each of the common measurements; else as lines of JSON.

        Returns:
            The address of the file.
        """
        measured = self._read([job.path.name for job in jobs], METRICS)
        entries = []
        for job, content in zip(jobs, measured, strict=True):
            name = job.path.name
            error = errors.get(name, "")
            metrics = dict(parsed(content, MetricsRecord, name)) if content is not None and not error else {}
            entries.append(described(job, name, error, metrics))
        self._files.makedirs(self._root, exist_ok=True)
        file = TABLE if as_table else MANIFEST
        lines = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in entries)
        self._files.pipe_file(self.place(file), table_of(entries) if as_table else lines.encode())
        return f"{self.address.rstrip('/')}/{file}"

    def _read(self, names: Sequence[str], file: str) -> list[bytes | None]:
        """A file of each of many runs, asked for together; None where there is none."""
        places = [self.place(name, file) for name in names]
        contents = self._files.cat(places, on_error="omit") if places else {}
        own = {self._files._strip_protocol(place): content for place, content in contents.items()}
        return [own.get(self._files._strip_protocol(place)) for place in places]


def is_of(job: Job, content: bytes) -> bool:
    """Whether a run.json is of the same request, as far as it is told. Raises UserError if it is none of ours."""
    from cli.scenes.request import Request

    record = parsed(content, RunRecord, f"{job.path.name}/{LAST}")
    held = parsed(json.dumps(record["request"]).encode(), Request, f"{job.path.name}/{LAST}: request")
    return held == replace(job.request, seed=held.seed) and 0 <= held.seed - job.request.seed < job.tries


def table_of(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Entries of a manifest as a Parquet file. Raises UserError without pyarrow."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError("a manifest in Parquet needs pyarrow: pip install ray pyarrow") from None
    schema = arrow.schema(
        [
            *((name, arrow.string()) for name in ("prompt", "folder", "state", "error", "method", "noun")),
            *((name, arrow.int64()) for name in ("seed", "faces")),
            *((name, arrow.bool_()) for name in ("recognised", "watertight")),
            *((name, arrow.float64()) for name in ("views_recognised", "janus_score")),
            *((name, arrow.string()) for name in ("request", "metrics")),  # all of it, as JSON
        ]
    )
    sink = arrow.BufferOutputStream()
    parquet.write_table(arrow.Table.from_pylist([row_of(one) for one in entries], schema), sink)
    return bytes(sink.getvalue())


def row_of(one: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a manifest as one row: what is asked for most in columns, all of it as JSON."""
    request, metrics = one["request"], one["metrics"]
    recognition, mesh = metrics.get("recognition", {}), metrics.get("mesh", {})
    return {
        **{name: one[name] for name in ("prompt", "folder", "state", "error")},
        "method": request["method"],
        "seed": request["seed"],
        "noun": recognition.get("noun"),
        "recognised": recognition.get("recognised"),
        "views_recognised": recognition.get("views_recognised"),
        "janus_score": metrics.get("sides", {}).get("janus_score"),
        "faces": mesh.get("faces"),
        "watertight": mesh.get("watertight"),
        "request": json.dumps(request),
        "metrics": json.dumps(metrics),
    }
