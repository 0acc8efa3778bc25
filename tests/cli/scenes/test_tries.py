"""The next seed if the object is not recognised."""

import logging
from pathlib import Path

import pytest

from cli.errors import UserError
from cli.scenes.batch import Job
from cli.scenes.request import Request
from cli.scenes.run_folder import read_json, write_json
from cli.scenes.tries import Try, best_of, verdict_line


def recognition(share: float, front: bool = True) -> dict[str, object]:
    return {
        "noun": "armchair",
        "recognised": front and share > 0.5,
        "views_recognised": share,
        "probability": share,
        "looks_most_like": ["sofa", "armchair", "bed"],
    }


class Maker:
    """Stands for whole runs: what the classifier says of each seed is known beforehand."""

    def __init__(self, shares: dict[int, float | Exception]) -> None:
        self.shares = shares
        self.seeds: list[int] = []

    def __call__(self, job: Job) -> None:
        asked, where = job.request, job.folder
        self.seeds.append(asked.seed)
        where.path.mkdir(parents=True)
        said = self.shares[asked.seed]
        if isinstance(said, Exception):
            raise said
        write_json(where.configuration, {"prompt": asked.prompt, "seed": asked.seed})
        write_json(where.metrics, {"recognition": recognition(said)} if said >= 0 else {})


@pytest.mark.parametrize(
    ("shares", "tries", "made", "kept"),
    [
        ({7: 0.9}, 3, [7], 7),
        ({7: 0.2}, 1, [7], 7),
        ({7: 0.2, 8: 0.9}, 3, [7, 8], 8),
        ({7: 0.2, 8: 0.4, 9: 0.3}, 3, [7, 8, 9], 8),
        ({7: 0.4, 8: 0.2, 9: 0.1}, 3, [7, 8, 9], 7),
        ({7: -1}, 3, [7], 7),
        ({7: 0.1, 8: UserError("no surface"), 9: 0.3}, 3, [7, 8, 9], 9),
    ],
)
def test_the_best_of_some_seeds_is_kept(
    tmp_path: Path, shares: dict[int, float | Exception], tries: int, made: list[int], kept: int
) -> None:
    job, maker = Job(Request("an armchair", seed=7), tmp_path / "out", tries), Maker(shares)
    best = best_of(job, maker)
    assert maker.seeds == made
    assert best.job.request.seed == kept
    assert best.job.path == job.path
    assert read_json(job.folder.configuration)["seed"] == kept
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_each_try_and_what_is_kept_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scoresmith")
    best_of(Job(Request("an armchair"), tmp_path / "out", 2), Maker({0: 0.25, 1: 0.75}))
    assert caplog.messages == [
        "try 1 of 2, seed 0: does not look enough like an armchair: 25 % of the views; "
        "it is rather taken for: sofa, bed",
        "try 2 of 2, seed 1: looks like an armchair: 75 % of the views",
        f"kept seed 1 in {tmp_path / 'out'}",
    ]


def test_a_first_try_that_is_good_is_not_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scoresmith")
    best_of(Job(Request("an armchair"), tmp_path / "out", 2), Maker({0: 0.75}))
    assert caplog.messages == ["looks like an armchair: 75 % of the views"]


def test_what_is_not_recognised_from_the_front_alone_is_kept(tmp_path: Path) -> None:
    told = recognition(0.625, front=False)
    assert not told["recognised"]
    assert Try(Job(Request("an armchair"), tmp_path), told).good_enough


def test_a_first_try_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no surface"):
        best_of(Job(Request("an armchair"), tmp_path / "out", 2), Maker({0: UserError("no surface")}))


def test_verdicts_in_one_line() -> None:
    assert verdict_line(recognition(0.875)) == "looks like an armchair: 88 % of the views"
    assert verdict_line(recognition(0.625, front=False)) == (
        "looks like an armchair: 62 % of the views, but not from the front"
    )
    assert verdict_line(recognition(0.5)).startswith("does not look enough like an armchair: 50 %")
    assert verdict_line(recognition(0.875) | {"noun": "boots"}).startswith("looks like boots")
    assert verdict_line(recognition(0.875) | {"noun": "horse"}).startswith("looks like a horse")
