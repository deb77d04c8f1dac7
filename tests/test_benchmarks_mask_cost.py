"""The benchmark of masks measures what it says."""

from __future__ import annotations

import json

import pytest
import torch

from agents.learning.mask_table import MaskTable
from benchmarks.mask_cost import Masking, Settings, main


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.draws_globally  # tyro draws from `random` to test its own caches where it sees pytest
def test_the_benchmark_writes_a_ratio_of_what_it_timed(tmp_path, capsys):
    path = tmp_path / "figures.json"
    arguments = ["--models", "tinylm", "--rows", "2", "--rounds", "3", "--threads", "1", "--json", str(path)]
    assert main(arguments) == 0
    figures = json.loads(path.read_text())
    ratio = figures["mask_cost_of_decode_step_2048"]
    cost = figures["mask_step_milliseconds_2048"]["value"] / figures["decode_step_milliseconds_2048"]["value"]
    assert ratio["value"] == pytest.approx(cost)
    assert (ratio["unit"], ratio["n"]) == ("ratio", 3)
    assert set(ratio) == {"value", "unit", "low", "high", "n"}
    assert "mask_cost_of_decode_step_2048" in capsys.readouterr().out


def test_a_masked_step_leaves_the_logits_of_allowed_tokens_only():
    masking = Masking("tinylm", Settings(rows=3))
    masking.step()
    assert (masking.masked.isfinite() == torch.from_numpy(masking.masks)).all()
    assert masking.met.table[masking.met.numbers(masking.masks)].tolist() == masking.masks.tolist()


def test_masks_are_numbered_once_each():
    table = MaskTable()
    masks = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 0, 1]], dtype=torch.bool).numpy()
    first = table.numbers(masks)
    assert len(table) == 2
    assert (table.table[first] == masks).all()
    assert (table.numbers(masks[::-1]) == first[::-1]).all()
    assert len(table) == 2


def test_more_rounds_than_tokens_are_refused():
    with pytest.raises(ValueError, match="rounds must be at most new_tokens - 2 = 62, got 63"):
        Settings(rounds=63)
