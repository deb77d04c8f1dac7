"""Ask the owner's page for the learning curve of a training, while its file grows, breaks off, is replaced, or says odd things."""

from __future__ import annotations

import json
import os
import re
from itertools import pairwise

import numpy as np
import pytest

from agents import train
from feedback.__main__ import main
from feedback.page import run_metrics
from feedback.page.figures import HEIGHT, LEFT, RIGHT, WIDTH
from feedback.page.run_metrics import Measured, RunFolder, RunMetrics
from feedback.page.score_picture import MOST_POINTS, score_picture, thinned
from feedback.study.access import Access
from feedback.study.store import Store
from tests.exact_task import make_env
from tests.page_study import Clock, Visitor, desk
from tests.test_learning_train import make_agent, source

OWN_ENTRY = "How the training goes"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "runs" / "film"
    made.mkdir(parents=True)
    return made


def written(update: float, score: float | None = None, held_out: float | None = None, **more) -> str:
    """Return a line as a training writes it."""
    line = {"update": update, "share_scored": 1.0, **more}
    line |= {} if score is None else {"score": score}
    line |= {} if held_out is None else {"held_out/score": held_out}
    return json.dumps(line) + "\n"


def write(folder, *lines: str) -> None:
    (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")


def scores(folder) -> list[tuple[float, float]]:
    return [(each.updates, each.score) for each in RunFolder(folder).metrics().training]


class Overview:
    """The owner's page, opened again and again."""

    def __init__(self, tmp_path, folder, clock: Clock | None = None) -> None:
        made = desk(tmp_path / "study.db", clock, run=None if folder is None else RunFolder(folder))
        self.owner = Visitor(made, "owner", role="owner")

    def load(self) -> str:
        response = self.owner.get("/study")
        assert response.status_code == 200
        return response.text

    def words(self) -> str:
        self.load()
        return " ".join(self.owner.page.words.split())

    def lines(self) -> list[list[tuple[float, float]]]:
        """Return the lines of the picture, read off its own marks: (updates done, score)."""
        html = self.load()
        ticks = [
            (name, dict(re.findall(r'(x|y|text-anchor)="([^"]*)"', name)), word) for name, word in re.findall(r"<text ([^>]*)>(.*?)<", html)
        ]
        rows = [(float(at["y"]) - 4, float(word)) for _, at, word in ticks if at.get("text-anchor") == "end"]
        columns = [
            (float(at["x"]), float(word)) for _, at, word in ticks if re.fullmatch(r"-?[\d.]+", word) and at["text-anchor"] == "middle"
        ]

        def value(place: float, marks: list[tuple[float, float]]) -> float:
            (low, first), *_, (high, last) = marks
            return round(first + (place - low) / (high - low) * (last - first), 2)

        drawn = re.findall(r'<polyline points="([^"]*)"/>\s*(?!</g></svg>)', html)
        pairs = [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in drawn]
        return [[(value(x, columns), value(y, rows)) for x, y in line] for line in pairs]


def test_the_curve_shows_the_scores_where_its_marks_say(tmp_path, folder):
    write(folder, written(0, held_out=0.25), written(1, 0.5), written(2, -0.75), written(3, 1.0), written(4, 0.0, held_out=0.5))
    training, held_out = Overview(tmp_path, folder).lines()
    assert training == [(0, 0.5), (1, -0.75), (2, 1.0), (3, 0.0)]  # written before the update that learned from them
    assert held_out == [(0, 0.25), (4, 0.5)]


def test_the_axes_are_named_and_the_curve_is_said_in_words(tmp_path, folder):
    write(folder, written(1, 0.5), written(2, -0.75), written(3, 0.25))
    overview = Overview(tmp_path, folder)
    assert "updates done" in overview.words() and ">score</text>" in overview.load()
    (label,) = [value for name, value in overview.owner.page.attributes if name == "aria-label" and value.startswith("Score by")]
    assert "Training: 0.5 after 0 updates, 0.25 after 2; lowest -0.75, highest 0.5." in label
    assert overview.load().count('role="img"') == 1


def test_the_kl_the_last_scores_and_the_time_are_written_out(tmp_path, folder):
    clock = Clock()
    write(folder, written(1, 0.5, kl_nats_per_response=0.1), written(12, 0.625, held_out=0.375, kl_nats_per_response=2.125), written(13))
    os.utime(folder / "metrics.jsonl", (clock.now - 190, clock.now - 190))
    words = Overview(tmp_path, folder, clock).words()
    assert "Updates13 Score0.625 Held-out score0.375 KL, nats a response2.12" in words
    assert "last written at 2023-11-14 22:10:10 UTC, 3 min before this page was loaded" in words
    assert "1 of its updates had no score" in words


def test_a_reload_shows_what_was_written_since(tmp_path, folder):
    overview = Overview(tmp_path, folder)
    assert "No update has a score yet" in overview.words()
    for number in range(1, 4):
        with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(written(number, number / 4))
        assert overview.lines() == [[(done, (done + 1) / 4) for done in range(number)]]


def test_a_file_that_has_not_changed_is_not_read_again(folder):
    write(folder, written(1, 0.5))
    run = RunFolder(folder)
    once = run.metrics()
    assert run.metrics() is once
    write(folder, written(1, 0.5), written(2, 0.5))
    assert run.metrics() is not once


@pytest.mark.parametrize("by", ["another file", "the same file, longer than before"])
def test_a_run_that_goes_on_from_an_earlier_checkpoint_replaces_what_it_does_again(folder, by):
    write(folder, *(written(number, 0.0) for number in range(1, 4)))
    run = RunFolder(folder)
    assert len(run.metrics().training) == 3
    again = [written(1, 0.0), *(written(number, 1.0) for number in range(2, 6))]
    if by == "another file":
        (folder / "new").write_text("".join(again))
        (folder / "new").replace(folder / "metrics.jsonl")
    else:
        write(folder, *again)
    assert [each.score for each in run.metrics().training] == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_of_two_lines_about_one_update_the_later_one_counts(folder):
    write(folder, written(1, 0.1), written(2, 0.2), written(3, 0.3), written(2, 0.7))
    assert scores(folder) == [(0, 0.1), (1, 0.7), (2, 0.3)]


def test_half_a_line_waits_for_its_other_half(folder):
    first, second = written(1, 0.5), written(2, 0.25)
    for length in range(len(second)):
        write(folder, first, second[:length])
        found = RunFolder(folder).metrics()
        assert ([each.score for each in found.training], found.num_unreadable) == ([0.5], 0)
    write(folder, first, second)
    assert scores(folder) == [(0, 0.5), (1, 0.25)]


@pytest.mark.parametrize("score", ["NaN", "Infinity", "-Infinity", "1e13", "1" + "0" * 400, "true", "null", '"0.5"', "[0.5]", "{}"])
def test_what_is_no_number_is_no_point_and_is_counted(tmp_path, folder, score):
    write(folder, written(1, 0.5), f'{{"update": 2.0, "score": {score}, "kl_nats_per_response": {score}}}\n', written(3, 0.25))
    found = RunFolder(folder).metrics()
    assert [each.updates for each in found.training] == [0, 2]
    assert (found.num_updates, found.num_unscored, found.kl) == (3, 1, None)
    assert Overview(tmp_path, folder).lines() == [[(0, 0.5), (2, 0.25)]]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "",
        "[1, 2]",
        "7",
        '{"score": 0.5}',
        '{"update": "two", "score": 0.5}',
        '{"update": NaN}',
        '{"update": -1}',
        "[" * 5000,
        "\ud800",
    ],
)
def test_a_line_that_is_no_measurement_is_left_out_and_reported(tmp_path, folder, line):
    lines = [written(1, 0.5).encode(), line.encode(errors="surrogatepass") + b"\n", written(2, 0.25).encode()]
    (folder / "metrics.jsonl").write_bytes(b"".join(lines))
    overview = Overview(tmp_path, folder)
    assert overview.lines() == [[(0, 0.5), (1, 0.25)]]
    assert "could not be read and were left out: 1." in overview.words()


def test_lines_with_other_fields_alone_show_no_curve_and_no_error(tmp_path, folder):
    write(folder, written(1, loss=3.0), written(2, loss=2.0))
    overview = Overview(tmp_path, folder)
    assert overview.lines() == []
    assert "No update has a score yet" in overview.words() and "2 of its updates had no score" in overview.words()


def test_a_file_that_goes_away_or_cannot_be_read_is_no_error_of_the_page(tmp_path, folder):
    write(folder, written(1, 0.5))
    overview = Overview(tmp_path, folder)
    assert overview.lines() == [[(0, 0.5)]]
    (folder / "metrics.jsonl").unlink()
    assert "No update has a score yet" in overview.words()
    (folder / "metrics.jsonl").mkdir()
    assert "metrics.jsonl is no file" in overview.words()
    (folder / "metrics.jsonl").rmdir()
    (folder / "metrics.jsonl").symlink_to("metrics.jsonl")
    assert "metrics.jsonl cannot be read: Too many levels of symbolic links" in overview.words()


def test_of_a_long_file_the_end_is_read_from_its_first_whole_line(tmp_path, folder, monkeypatch):
    lines = [written(number, number / 8) for number in range(1, 9)]
    write(folder, *lines)
    for length in range(len("".join(lines)) + 2):
        monkeypatch.setattr(run_metrics, "MOST_READ", length)
        found = RunFolder(folder).metrics()
        num_whole = max(number for number in range(9) if len("".join(lines[8 - number :])) <= length)
        assert [each.score for each in found.training] == [(number + 1) / 8 for number in range(8 - num_whole, 8)]
        assert (found.is_cut, found.num_unreadable) == (length < len("".join(lines)), 0)
    monkeypatch.setattr(run_metrics, "MOST_READ", len("".join(lines[-3:])))
    overview = Overview(tmp_path, folder)
    assert overview.lines() == [[(5, 0.75), (6, 0.88), (7, 1.0)]]
    assert "its beginning is not shown" in overview.words()


def test_of_many_updates_neighbours_are_drawn_as_their_mean(tmp_path, folder):
    drawn = np.random.default_rng(0).normal(size=1000)
    write(folder, *(written(number + 1, score) for number, score in enumerate(drawn)))
    measured = RunFolder(folder).metrics().training
    found = thinned(measured)
    assert len(found) <= MOST_POINTS
    means = [(chunk.mean(), start + (len(chunk) - 1) / 2) for start in range(0, 1000, 9) for chunk in [drawn[start : start + 9]]]
    assert [(each.score, each.updates) for each in found] == [(pytest.approx(score), at) for score, at in means]
    assert thinned(measured[:MOST_POINTS]) == measured[:MOST_POINTS]
    overview = Overview(tmp_path, folder)
    assert "Each point of “training” is the mean of 9 neighbours" in overview.words()
    assert len(overview.load()) < 30_000


def test_a_held_out_score_has_its_standard_error(tmp_path, folder):
    write(folder, written(0, held_out=0.5, **{"held_out/score_standard_error": 0.25}), written(1, 0.0), written(2, 1.0))
    html = Overview(tmp_path, folder).load()
    assert "<title>0 updates: 0.5 ± 0.25</title>" in html
    ((low, high),) = re.findall(r'<line x1="60.0" x2="60.0" y1="([\d.]+)" y2="([\d.]+)"/>', html)
    (top,) = re.findall(r'y="([\d.]+)" text-anchor="end">1.0<', html)
    (bottom,) = re.findall(r'y="([\d.]+)" text-anchor="end">0.0<', html)
    assert float(low) - float(high) == pytest.approx((float(bottom) - float(top)) / 2, abs=0.11)
    assert "held out ± one standard error" in html


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-12, 1e-8, 1e-4, 1.0, 3e5, 1e12])
def test_scores_of_any_size_stay_inside_the_picture_and_their_marks_differ(size):
    generator = np.random.default_rng(1)
    for num_points in (1, 2, 7, 300):
        for spread in (0.0, 1e-9, 1e-3, 1.0):
            drawn = size * (1 - spread * generator.random(num_points))
            measured = tuple(Measured(number, float(score)) for number, score in enumerate(drawn))
            picture = score_picture(RunMetrics(training=measured))
            (line,) = picture.curves
            assert all(LEFT <= point.x <= WIDTH - RIGHT and 0 < point.y < HEIGHT for point in line.points)
            assert all(one > other for one, other in pairwise(place for place, _ in picture.up))
            for marks in (picture.up, picture.across):
                assert 2 <= len(marks) <= 10
                assert len({float(word) for _, word in marks}) == len(marks), marks


def test_what_a_training_writes_is_what_is_read(tmp_path):
    trained = train(
        make_env(source()), make_agent(), 3, 8, evaluation_env=make_env(source()), evaluate_every=2, folder=tmp_path / "run", show=False
    )
    found = RunFolder(trained.folder).metrics()
    lines = {line["update"]: line for line in trained.metrics}
    assert [(each.updates + 1, each.score) for each in found.training] == [(update, lines[update]["score"]) for update in (1, 2, 3)]
    held_out = [(update, lines[update]["held_out/score"], lines[update]["held_out/score_standard_error"]) for update in (0, 2, 3)]
    assert [(each.updates, each.score, each.error) for each in found.held_out] == held_out
    assert (found.kl, found.held_out_kl) == (lines[3]["kl_nats_per_response"], lines[3]["held_out/kl_nats_per_response"])
    assert (found.num_unreadable, found.num_unscored, found.problem) == (0, 0, "")


def test_a_study_without_a_run_shows_none(tmp_path):
    assert OWN_ENTRY not in Overview(tmp_path, None).words()


def test_a_rater_does_not_see_how_the_training_goes(tmp_path, folder):
    write(folder, written(1, 0.5))
    rater = Visitor(desk(tmp_path / "study.db", run=RunFolder(folder)))
    for path in ("/", "/study", "/done", "/help"):
        rater.get(path)
        assert OWN_ENTRY not in rater.page.words and "film" not in rater.page.words


def test_a_folders_name_is_text_and_makes_no_markup(tmp_path):
    hostile = tmp_path / '<script>alert("x")<' / "\u202e&amp;"
    hostile.mkdir(parents=True)
    write(hostile, written(1, 0.5))
    overview = Overview(tmp_path, hostile)
    assert overview.load().count("<script") == 1
    assert 'alert("x")</\\u202e&amp;' in overview.words()


# From the command line.


def serve(tmp_path, *arguments: str) -> int:
    return main(["serve", "--study", str(tmp_path / "study.db"), "--port", "0", *arguments])


@pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache
def test_a_run_that_is_named_on_the_command_line_is_on_the_owners_page(tmp_path, folder, monkeypatch):
    import uvicorn
    from starlette.testclient import TestClient

    write(folder, written(1, 0.5))
    shown = []

    def ask(server, sockets) -> None:
        address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        with Store(tmp_path / "study.db") as store:
            token = Access(store).invite("second-owner", "owner")
        client = TestClient(server.config.app, base_url=address)
        client.post(f"/invitation/{token}", headers={"Origin": address})
        shown.append(client.get("/study").text)

    monkeypatch.setattr(uvicorn.Server, "run", ask)
    assert serve(tmp_path, "--run", str(folder)) == 0
    assert OWN_ENTRY in shown[0] and "Training: 0.5 after 0 updates" in shown[0]


@pytest.mark.draws_globally
def test_a_folder_that_is_no_runs_is_refused_with_the_way_out_and_nothing_is_made(tmp_path, folder, capsys, monkeypatch):
    import uvicorn

    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: None)  # else a folder that is not refused is served for ever
    write(folder, written(1, 0.5))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    cases = {
        tmp_path / "nowhere": ("is not there", "wait for that, or make the folder yourself, empty"),
        folder / "metrics.jsonl": ("is no folder", "python -m agents train --folder"),
        tmp_path / "other": ("no metrics.jsonl", "give the folder that the training names"),
        tmp_path / "runs": ("no metrics.jsonl", f"name one run of it, such as {folder}"),
    }
    for wrong, expected in cases.items():
        assert serve(tmp_path, "--run", str(wrong)) == 1
        said = capsys.readouterr().err
        assert str(wrong) in said and all(part in said for part in expected), said
    assert not (tmp_path / "study.db").exists()
