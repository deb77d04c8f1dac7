"""A report is one page and one Markdown file that say the same, need nothing else, and say what cannot be told."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from benchmarks.__main__ import main
from benchmarks.arena.ledger import RUNS, read_rows
from benchmarks.leaderboard.board import board_of
from benchmarks.leaderboard.marked_section import BEGIN, END, replace_marked
from benchmarks.leaderboard.report_command import readme_table, write_report
from benchmarks.leaderboard.report_markdown import escaped
from benchmarks.leaderboard.svg_chart import Axis, Chart, round_marks
from tests.made_rows import CONTENDERS, TASKS, made_rows, write_rows

pytestmark = pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache
VOID = {"meta"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the page and the Markdown of made-up rows."""
    folder = tmp_path_factory.mktemp("report")
    page, beside = write_report(board_of(made_rows(), None, {}), folder / "report.html")
    return page.read_text("utf-8"), beside.read_text("utf-8")


class Reader(HTMLParser):
    """Collect the words of a page, what it refers to, and whether its elements close in order."""

    def __init__(self, text):
        super().__init__()
        self.words, self.addresses, self.names, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [given[name] for name in ("href", "src") if name in given]
        self.names += [given["id"]] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_needs_nothing_but_itself(written):
    reader = Reader(written[0])
    assert reader.open == [] and set(reader.addresses) == {f"#{name}" for name in reader.names}
    assert not re.search(r"<script|<link|@import|url\(|https?:", written[0])


def test_every_contender_task_and_failure_is_on_the_page_and_in_the_markdown(written):
    words = " ".join(Reader(written[0]).words)
    for name in (*TASKS, *CONTENDERS, "ArithmeticError: the weights are <no> longer finite", "a made-up machine", "0" * 40):
        assert name in words
        assert name.replace("<", "\\<").replace("_", "\\_") in written[1]
    assert "Say <it>:" in words and "A fine & good one." in words


def test_both_say_what_can_be_told_and_what_cannot(written):
    for text in written:
        assert "fast is better than all others over all tasks." in text
        assert "On nothing nobody is first for sure: reference, slow, fast, wasteful and best-of-8 may be." in text
        assert re.search(r"fast is better than reference \(by 0\.\d+, 0\.\d+ to 0\.\d+\)", text)
        assert "slow cannot be told from reference, fast, wasteful and best-of-8 on nothing." in text


def test_every_chart_names_its_axes_and_every_curve_of_a_seed_is_there(written):
    charts = re.findall(r"<svg.*?</svg>", written[0])
    assert len(charts) > 30 and all('class="axis"' in chart and "<title>" in chart for chart in charts)
    curves = [chart for chart in charts if "every seed" in chart]
    assert len(curves) == 3 * len(TASKS)
    assert sorted({chart.count('class="one"') for chart in curves}) == [4, 5]  # one run failed
    assert all("tokens of training" in chart for chart in curves)


def test_what_was_not_reached_is_called_censored_and_never_given_a_number(written):
    lines = [line for line in written[1].splitlines() if "% of the way" in line]
    slow = [line for line in lines if "| slow |" in line]
    assert len(lines) == 3 * 2 * 4 and len(slow) == 2 * 4  # contenders that learn, shares of the way, tasks with a scale
    assert all(re.search(r"\| 0 of [45] \| censored \| – \| censored \| censored \|", line) for line in slow)


def test_with_one_seed_there_is_a_report_without_intervals_that_tells_nothing(tmp_path):
    _, beside = write_report(board_of(made_rows(seeds=1), None, {}), tmp_path / "report.html")
    text = beside.read_text("utf-8")
    assert "With a single seed nothing can be told over all tasks." in text and "nan" not in text
    assert not re.search(r"\d \(\S+ to \S+\)", text) and not re.search(r"is better than \S+ \(by", text)


def test_contenders_that_share_no_task_are_still_reported(tmp_path):
    takes_part = {"reference": ("reviews", "translate"), "slow": ("translate",), "fast": ("reviews",)}
    rows = [row for row in made_rows() if row["task"] in takes_part.get(row["contender"], ())]
    _, beside = write_report(board_of(rows, None, {}), tmp_path / "report.html")
    assert "Nothing is put together: fewer than two contenders have runs on all tasks that have a scale." in beside.read_text("utf-8")


def test_a_report_of_runs_that_are_still_being_made_leaves_their_file_alone(tmp_path, capsys):
    file = write_rows(tmp_path, made_rows(seeds=2, tasks=("reviews",))) / RUNS
    file.write_bytes(file.read_bytes() + b'{"kind": "run", "ta')
    before = file.read_bytes()
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "out" / "page.html")]) == 0
    assert file.read_bytes() == before and len(read_rows(tmp_path)) == 10
    assert (tmp_path / "out" / "page.html").exists() and (tmp_path / "out" / "page.md").exists()
    assert "page.html" in capsys.readouterr().out


def test_ceilings_and_the_reference_come_from_the_command_line(tmp_path):
    write_rows(tmp_path, made_rows(seeds=2, tasks=("translate",)))
    assert main(["report", str(tmp_path), "--ceilings", "translate", "0.95", "--reference", "slow"]) == 0
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "| translate | chrf | a ceiling that was given | yes |" in text and "0 = slow" in text


def test_bad_arguments_say_what_to_do(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none")]) == 1
    assert "make some with python -m benchmarks run" in capsys.readouterr().err
    assert main(["report"]) == 1
    assert "a report needs at least one FOLDER" in capsys.readouterr().err
    write_rows(tmp_path, made_rows(seeds=2))
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "page.pdf")]) == 1
    assert "must be the name of an HTML page" in capsys.readouterr().err


def test_figures_can_be_had_as_json_and_are_those_of_the_report(tmp_path):
    rows = made_rows(tasks=("reviews", "translate"))
    assert main(["report", str(write_rows(tmp_path, rows)), "--json", str(tmp_path / "figures.json")]) == 0
    found = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    scores = [row["final"]["score"] for row in rows if (row["task"], row["contender"]) == ("reviews", "fast")]
    assert found["mean_reviews_fast"]["value"] == pytest.approx(sum(scores) / 5) and found["mean_translate_slow"]["n"] == 4
    iqm = found["iqm_slow"]
    assert (iqm["n"], iqm["unit"]) == (9, "share of the way")
    cells = f"| slow | {iqm['value']:.3f} ({iqm['low']:.3f} to {iqm['high']:.3f}) | 4 |"
    assert cells in (tmp_path / "report.md").read_text("utf-8")


# --- the table of a README


def test_the_command_replaces_what_stands_between_the_marks_and_nothing_else(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n\n{BEGIN}\nwhat was here\n{END}\n\nafter\n", "utf-8")
    write_rows(tmp_path / "runs", made_rows())
    command = ["report", str(tmp_path / "runs"), "--readme", str(readme)]
    assert main(command) == 0
    text = readme.read_text("utf-8")
    assert text.startswith(f"# Before\n\n{BEGIN}\n| contender | count (share of optimum) |") and text.endswith(f"\n{END}\n\nafter\n")
    assert "what was here" not in text and text.count("\n| ") == 2 + len(CONTENDERS) and "1 runs failed" in text
    assert not (tmp_path / "runs" / "report.html").exists()
    capsys.readouterr()
    assert main(command) == 0 and readme.read_text("utf-8") == text
    assert "the table is what it was" in capsys.readouterr().out


def test_who_is_best_for_sure_is_bold_in_the_table():
    rows = made_rows(contenders=("reference", "slow", "fast"))
    lines = readme_table(board_of(rows, None, {})).splitlines()
    fast = next(line for line in lines if line.startswith("| fast"))
    assert fast.count("**") == 2 * 4 and "**" not in fast.split("|")[-2]  # of five tasks, on nothing nobody is
    assert not any("**" in line for line in lines if line.startswith(("| slow", "| reference")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "begin --> is not there"),
        (f"{BEGIN}\n", "end --> is not there"),
        (f"{BEGIN}{BEGIN}{END}", "is there 2 times"),
        (f"{END} {BEGIN}", "put it after the table"),
    ],
)
def test_missing_marks_are_an_error_and_the_file_stays_as_it_was(tmp_path, text, words):
    path = tmp_path / "README.md"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=words):
        replace_marked(path, "new")
    assert path.read_text("utf-8") == text


# --- parts


def test_names_mean_the_same_in_markdown_as_they_do_as_text():
    assert escaped("a_b|c*") == "a\\_b\\|c\\*" and escaped("**0.5**") == "**0.5**"


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3e-7, 2e-7), (0.35, 0.35), (0, 28_123), (-4.2, 17.0)])
def test_marks_are_round_enclose_the_range_and_are_few(low, high):
    marks = [value for value, _ in round_marks(low, high, 5)]
    assert marks[0] <= low + 1e-9 and marks[-1] >= high - 1e-9 and 2 <= len(marks) <= 8
    assert len({words for _, words in round_marks(low, high, 5)}) == len(marks)


def test_a_chart_escapes_words_and_draws_nothing_where_there_is_no_number():
    chart = Chart("a < b", Axis("x & y", 0, 1), Axis("z", 0, 1))
    chart.line([0.0, 0.5, 1.0], [0.0, float("nan"), 1.0], "curve")
    chart.band([0.0, 1.0], [float("nan")] * 2, [float("nan")] * 2)
    assert "a &lt; b" in chart.svg() and "x &amp; y" in chart.svg() and "nan" not in chart.svg()
    assert len(re.search(r'points="([^"]*)"', chart.svg())[1].split()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_phones_and_has_no_barriers_in_light_and_dark(written, tmp_path, scheme):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium")
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    from scripts.screenshots import ARGUMENTS

    file = tmp_path / "report.html"
    file.write_text(written[0], "utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert asked == [file.as_uri()]
        found = Axe().run(page)
        browser.close()
    assert not found.response["violations"], found.generate_report()
