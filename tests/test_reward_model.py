"""Fit reward models to what people said, save them, and score with them."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from feedback.check import check_feedback
from feedback.learned.evidence import Gathering
from feedback.learned.reward_settings import RewardConfig, TrunkTraining
from feedback.reward_model import RewardModel
from feedback.study.records import Passage
from text_env.episode import Ending, Episode, Prompt
from text_env.tokens import load_tokens

TINYLM = load_tokens("tinylm")
PROMPTS = [f"The {thing}" for thing in ("film", "book", "cast", "story", "plot", "music", "end", "hero", "joke", "scene", "cat", "dog")]
GOOD = [" was wonderful", " is a great joy", " was good and clever", " made me happy", " is the best", " was superb"]
BAD = [" was awful", " is a dull mess", " was bad and silly", " made me angry", " is the worst", " was boring"]


def episode(response, prompt="The film", index=0):
    ids = TINYLM.encode(response)
    return Episode(Prompt(prompt, TINYLM.encode(prompt)), ids, np.ones(len(ids), dtype=bool), response, Ending.LENGTH, index)


def told(flips=0.0, seed=0, who=("ann",), prompts=PROMPTS, rates=False, ranks=False):
    """Return evidence in which praise is preferred to blame, but for a share of flips."""
    gathering, generator = Gathering(), np.random.default_rng(seed)
    for prompt in prompts:
        for one, other in zip(generator.permutation(GOOD), generator.permutation(BAD), strict=True):
            for person in who:
                target = float(generator.random() >= flips)
                gathering.compare(Passage(prompt, str(one)), Passage(prompt, str(other)), target, person, time=1.0)
        if rates:
            gathering.rate(Passage(prompt, GOOD[0]), 1.0, "bob")
            gathering.rate(Passage(prompt, BAD[0]), -0.5, "bob")
        if ranks:
            gathering.rank([[Passage(prompt, GOOD[1])], [Passage(prompt, " was there")], [Passage(prompt, BAD[1])]], "bob")
    return gathering.evidence()


def scores(model, responses=(*GOOD, *BAD), prompt="The film"):
    return np.array([each.score for each in model([episode(response, prompt) for response in responses])])


@pytest.fixture(scope="module")
def fitted():
    model = RewardModel(config=RewardConfig(num_heads=3, seed=1))
    report = model.fit(told(flips=0.1, who=("ann", "bob", "cem"), rates=True, ranks=True))
    return model, report


def test_a_fitted_model_prefers_what_people_preferred_on_prompts_that_it_has_not_seen(fitted):
    model, report = fitted
    found = scores(model, prompt="The song")
    assert found[:6].min() > found[6:].max()
    assert report.calibration.accuracy.value > 0.8
    assert report.num_fitted + report.num_calibrating + report.num_held_out == 12 * 6 * 3 + 24 + 12


def test_a_fitted_model_is_a_feedback_source(fitted):
    check_feedback(fitted[0])
    assert "feedback.reward_model" in RewardModel.example().__class__.__module__


def test_the_agreement_of_people_stands_beside_the_accuracy(fitted):
    ceiling = fitted[1].ceiling
    assert ceiling.value == pytest.approx(0.9**2 + 0.1**2, abs=0.06)
    assert any(line.startswith("people agree") and f"{ceiling.value:.3f}" in line for line in fitted[1].lines())
    alone = RewardModel().fit(told())
    assert alone.ceiling.value is None and any("no pair was judged by two people" in line for line in alone.lines())


def test_the_same_evidence_gives_the_same_model_and_another_seed_another_one():
    evidence, config = told(flips=0.2), RewardConfig(num_heads=2)
    one, again, other = RewardModel(), RewardModel(), RewardModel()
    one.fit(evidence, config)
    again.fit(evidence, config)
    other.fit(evidence, replace(config, seed=1))
    assert np.array_equal(scores(one), scores(again)) and not np.allclose(scores(one), scores(other))


def test_a_second_fit_starts_anew():
    evidence, model, fresh = told(), RewardModel(), RewardModel()
    model.fit(told(flips=1.0))
    model.fit(evidence)
    fresh.fit(evidence)
    np.testing.assert_allclose(scores(model), scores(fresh), atol=1e-6)


def test_members_differ_and_conservative_scores_lie_below_the_mean(fitted):
    model, _ = fitted
    judged = model([episode(each) for each in (*GOOD, " zzz qqq 77")])
    assert all(each.parts["members' variance"] > 0 for each in judged)
    careful = pickle.loads(pickle.dumps(model))
    careful.config = replace(model.config, combination="mean_minus_variance", variance_weight=0.5)
    for plain, low, temperature in zip(
        judged, careful([episode(each) for each in (*GOOD, " zzz qqq 77")]), [model._temperature] * 7, strict=True
    ):
        expected = plain.score - 0.5 * plain.parts["members' variance"] * temperature
        assert low.score == pytest.approx(expected, abs=1e-6)


def test_scores_are_held_within_the_scale_that_is_stated():
    model = RewardModel(config=RewardConfig(bound=0.2, penalty=0.01))
    model.fit(told())
    assert (model.low, model.high) == (-0.2, 0.2)
    assert np.abs(scores(model)).max() == 0.2


def test_the_mean_score_of_what_was_fitted_is_zero():
    for combination in ("mean", "min"):
        model = RewardModel()
        model.fit(told(rates=True), RewardConfig(num_heads=3, combination=combination, held_out=0.0, calibrating=0.0))
        found = [scores(model, prompt=prompt) for prompt in PROMPTS]
        assert np.mean(found) == pytest.approx(0.0, abs=1e-5)


def test_batch_composition_and_ids_of_the_same_tokenizer_change_no_score(fitted):
    model, _ = fitted
    alone = [model([episode(each)])[0].score for each in GOOD]
    model._kept.clear()
    together = scores(model, (*GOOD, " and" * 200))[: len(GOOD)]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    knowing = pickle.loads(pickle.dumps(model))
    knowing.written_with = "tinylm"
    np.testing.assert_allclose(scores(knowing), scores(model), atol=1e-4)


def test_a_saved_model_scores_as_before_and_its_folder_holds_no_program(fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path / "reward")
    model.save(tmp_path / "reward")  # replaced as a whole
    model._kept.clear()  # features that were computed in other batches differ in the last digits
    assert np.array_equal(scores(RewardModel.load(tmp_path / "reward")), scores(model))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["heads.safetensors", "reward", "reward.json"]


def tiny_object(seed=0):
    from transformers import AutoModel, LlamaConfig

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return AutoModel.from_config(LlamaConfig(vocab_size=257, **sizes, max_position_embeddings=64, bos_token_id=256, eos_token_id=256))


TRAINING = TrunkTraining(learning_rate=3e-3, epochs=4)


@pytest.mark.parametrize("rankings", ["pairs", "plackett_luce"])
@pytest.mark.parametrize("noise", ["none", "lapse", "smoothing", "flips"])
def test_training_the_trunk_learns_more_than_its_heads_can_and_is_kept(noise, rankings, tmp_path):
    trunk = tiny_object()
    before = {name: weight.clone() for name, weight in trunk.state_dict().items()}
    config = RewardConfig(num_heads=2, noise=noise, noise_share=0.0 if noise == "none" else 0.05)
    heads, whole = (RewardModel(trunk, tokenizer="bytes", read="last") for _ in range(2))
    evidence = told(rates=True, ranks=True)
    plain = heads.fit(evidence, config)
    trained = whole.fit(evidence, replace(config, trained="all", training=replace(TRAINING, rankings=rankings)))
    assert trained.calibration.log_loss_nats < plain.calibration.log_loss_nats
    assert all(torch.equal(weight, before[name]) for name, weight in trunk.state_dict().items())  # the caller's model is left alone
    whole.save(tmp_path / "whole")
    np.testing.assert_allclose(scores(RewardModel.load(tmp_path / "whole")), scores(whole), atol=1e-5)
    np.testing.assert_allclose(scores(pickle.loads(pickle.dumps(whole))), scores(whole), atol=1e-5)


@pytest.mark.skipif(find_spec("peft") is not None, reason="peft is installed")
def test_without_peft_training_by_lora_says_how_to_get_it():
    model = RewardModel(tiny_object(), tokenizer="bytes")
    with pytest.raises(ModuleNotFoundError, match=r'training by LoRA needs peft: pip install "textgen-gym\[lora\]"'):
        model.fit(told(), RewardConfig(trained="lora"))


@pytest.mark.skipif(find_spec("peft") is None, reason="needs peft")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks transformers by its old name
def test_lora_changes_the_scores_and_loads_without_peft(tmp_path):
    heads, adapted = (RewardModel(tiny_object(), tokenizer="bytes", read="last") for _ in range(2))
    plain = heads.fit(told())
    trained = adapted.fit(told(), RewardConfig(trained="lora", training=replace(TRAINING, learning_rate=1e-3)))
    assert trained.calibration.log_loss_nats < plain.calibration.log_loss_nats
    expected = scores(adapted)
    adapted.save(tmp_path / "lora")
    np.testing.assert_allclose(scores(RewardModel.load(tmp_path / "lora")), expected, atol=1e-4)


def changed(folder, **changes):
    described = json.loads((folder / "reward.json").read_text("utf-8"))
    (folder / "reward.json").write_text(json.dumps(described | changes), encoding="utf-8")


def test_names_in_a_folder_are_not_looked_up_and_what_was_changed_is_refused(fitted, tmp_path):
    folder = fitted[0].save(tmp_path / "reward")
    changed(folder, trunk="somebody/model")
    with pytest.raises(ValueError, match="names the trunk 'somebody/model', which is not bundled"):
        RewardModel.load(folder)
    changed(folder, trunk="tinylm", tokenizer="somebody/tokenizer")
    with pytest.raises(ValueError, match="holds no tokenizer: give the one that it was fitted with"):
        RewardModel.load(folder)
    changed(folder, tokenizer="tinylm", fingerprint="0")
    with pytest.raises(ValueError, match="the tokenizer's vocabulary is another one"):
        RewardModel.load(folder)
    changed(folder, format="other")
    with pytest.raises(ValueError, match=r"RewardModel\.save wrote .* but its format is 'other'"):
        RewardModel.load(folder)
    changed(folder, format="textgen reward model 1")
    save_file(load_file(folder / "heads.safetensors") | {"offsets": np.zeros(9)}, folder / "heads.safetensors")
    with pytest.raises(ValueError, match="its heads have the shapes"):
        RewardModel.load(folder)
    with pytest.raises(ValueError, match=r"expected .* to be a folder that RewardModel\.save wrote"):
        RewardModel.load(tmp_path / "nowhere")


def gathered(*add):
    gathering = Gathering()
    for each in add:
        each(gathering)
    return gathering.evidence()


A, B = Passage("p", "a"), Passage("p", "b")


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        (gathered(), "there is nothing to learn from: no comparison, ranking or rating; answers that were left out: none"),
        (gathered(lambda it: it.left_out.update(["skip", "skip"])), "left out: 2 skip"),
        (gathered(lambda it: it.compare(A, B, 0.5, "ann")), "all 1 comparisons are ties"),
        (gathered(lambda it: it.rate(A, 0.5, "ann"), lambda it: it.rate(B, 0.5, "ann")), "all 2 ratings are 0.5 and nothing else"),
    ],
)
def test_what_says_nothing_is_refused_with_what_there_is(evidence, message):
    with pytest.raises(ValueError, match=message):
        RewardModel().fit(evidence)


def test_answers_that_contradict_each_other_have_a_defined_result_and_a_remark():
    model = RewardModel()
    both = gathered(*[lambda it, t=t: it.compare(A, B, t, f"ann {t}") for t in (0.0, 1.0)])
    report = model.fit(both)
    assert scores(model, ("a", "b"), "p") == pytest.approx([0.0, 0.0], abs=1e-6)
    assert any("contradict each other" in remark for remark in report.remarks)
    assert any("no preference was held out" in remark for remark in report.remarks)


def test_a_model_that_only_counts_letters_is_told_apart_from_one_that_is_better_than_that():
    gathering = Gathering()
    for prompt in PROMPTS:
        for number in range(4):
            gathering.compare(Passage(prompt, " very" * (number + 2) + " good"), Passage(prompt, " good"), 1.0, "ann")
    report = RewardModel().fit(gathering.evidence())
    assert report.calibration.longer.value == 1.0
    assert any("no better than" in remark for remark in report.remarks)
    assert not any("no better than" in remark for remark in RewardModel().fit(told()).remarks)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"this reward model is not fitted: call fit\(evidence\)"):
        RewardModel()([episode(" a")])
    with pytest.raises(ValueError, match="not fitted"):
        RewardModel().save("nowhere")
    with pytest.raises(ValueError, match="a model object has no tokenizer: give tokenizer"):
        RewardModel(tiny_object())
    with pytest.raises(ValueError, match="a folder says what its trunk, config and read are"):
        RewardModel("smollm2", folder="x")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trained": "some"}, "trained must be one of heads, lora, all, got 'some'"),
        ({"noise": "flips"}, "noise and noise_share go together, got 'flips' and 0.0"),
        ({"noise_share": 0.1}, "noise and noise_share go together, got 'none' and 0.1"),
        ({"held_out": 0.6, "calibrating": 0.4}, "held_out and calibrating are shares below 1 together"),
        ({"bound": np.inf}, "bound must be above 0 and finite"),
        ({"combination": "min"}, "min needs members that differ: set num_heads above 1, got 1"),
        ({"half_life_seconds": 0.0}, "half_life_seconds must be above 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RewardConfig(**settings)
