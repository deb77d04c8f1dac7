import json

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.measure import Measurement
from benchmarks.peak_memory import Job, can_measure, peak_bytes_in_new_process
from benchmarks.throughput import ABOUT, EXPERIMENTS, Settings, main, run, table_of, writing_figures

SMALL = ["--model", "tinylm", "--rows", "2", "--new-tokens", "4", "--repetitions", "1", "--threads", "1"]
PROMISED = {
    "rollout_vs_generate_bfloat16",
    "rollout_vs_generate_float32",
    "rollout_vs_generate_mixed_lengths_bfloat16",
    "rollout_memory_vs_generate",
    "vector_steps_vs_cartpole",
    "vector_steps_between_endings_vs_cartpole",
}


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_every_figure_is_described_and_measured_by_one_experiment():
    names = [name for names in EXPERIMENTS.values() for name in names]
    assert sorted(names) == sorted(ABOUT)
    assert set(names) >= PROMISED


def test_the_benchmark_measures_what_is_asked_for_and_writes_it(tmp_path, capsys):
    path = tmp_path / "figures.json"
    names = ["rollout_vs_generate_float32", "vector_steps_vs_cartpole"]
    assert main([*SMALL, "--json", str(path), "--only", *names]) == 0
    figures = json.loads(path.read_text())
    assert set(figures) == set(names)
    for figure in figures.values():
        assert set(figure) == {"value", "unit", "low", "high", "n"}
        assert 0 < figure["low"] <= figure["value"] <= figure["high"]
        assert figure["unit"] == "ratio"
    shown = capsys.readouterr().out
    assert all(name in shown for name in [*names, "1 threads", f"torch {torch.__version__}", "better"])


def test_writing_in_half_the_time_is_twice_as_fast():
    figures = writing_figures("float32", 60, {"ours": np.asarray([2.0, 3.0, 3.0]), "theirs": np.asarray([6.0, 6.0, 5.0])})
    assert figures["rollout_vs_generate_float32"].value == 2.0
    assert figures["rollout_tokens_per_second_float32"].value == 20.0


@pytest.mark.slow
def test_the_whole_benchmark_runs_on_a_tiny_model(tmp_path):
    path = tmp_path / "figures.json"
    assert main([*SMALL, "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert all(figure["value"] > 0 for figure in figures.values())
    if can_measure():
        ours, theirs = figures["rollout_memory"]["value"], figures["generate_memory"]["value"]
        assert figures["rollout_memory_vs_generate"]["value"] == pytest.approx(ours / theirs)
    without_bfloat16 = {name for name in ABOUT if "bfloat16" in name}
    assert set(ABOUT) - without_bfloat16 - {"rollout_memory_vs_generate", "rollout_memory", "generate_memory"} <= set(figures)


def test_bfloat16_is_skipped_with_a_note_where_the_processor_lacks_it(monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    monkeypatch.setattr("benchmarks.throughput.EXPERIMENTS", {run: names for run, names in EXPERIMENTS.items() if "bfloat16" in names[0]})
    assert run(Settings(model="tinylm", threads=1), Console(width=200)) == {}
    assert "skipped rollout_vs_generate_bfloat16, rollout_tokens_per_second_bfloat16: the processor has no" in capsys.readouterr().out


def test_a_figure_asked_for_by_name_that_cannot_be_measured_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert main([*SMALL, "--only", "rollout_vs_generate_bfloat16"]) == 1
    assert "rollout_vs_generate_bfloat16 cannot be measured: the processor has no bfloat16 instructions" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["rows", "new_tokens", "repetitions", "threads"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        Settings(**{name: 0})


def test_an_unknown_figure_is_refused_with_the_names_of_the_known_ones():
    with pytest.raises(ValueError, match=r"no figures speed; there are rollout_vs_generate_bfloat16, "):
        Settings(only=("speed",))


def test_an_unknown_model_is_one_line_on_standard_error(capsys):
    assert main(["--model", "no-such-model", "--threads", "1", "--only", "rollout_vs_generate_float32"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_the_table_says_for_each_figure_whether_more_is_better(capsys):
    Console(width=130).print(table_of({name: Measurement(1234.5, "ratio", 0.5, 2.0, 3) for name in PROMISED}))
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines[1:] if not line.startswith("  ")}
    assert set(rows) == PROMISED
    assert rows["rollout_vs_generate_float32"][1:] == ["1,234x", "0.5", "to", "2", "3", "higher"]
    assert rows["rollout_memory_vs_generate"][-1] == "lower"


@pytest.mark.slow
@pytest.mark.skipif(not can_measure(), reason="only Linux keeps a high-water mark of memory that can be reset")
def test_writing_more_rows_at_once_takes_more_memory():
    few, many = (peak_bytes_in_new_process(Job("generate", "tinylm", "float32", rows, 8, 1, 0)) for rows in (2, 64))
    assert 0 < few < many


@pytest.mark.slow
def test_a_process_that_fails_is_reported_with_what_it_said():
    with pytest.raises(RuntimeError, match=r"(?s)memory of rollout failed.*no-such-model"):
        peak_bytes_in_new_process(Job("rollout", "no-such-model", "float32", 2, 2, 1, 0))
