"""Judge by classifiers of many architectures: what transformers' own pipeline says of one text, whatever else is in the batch."""

from __future__ import annotations

import itertools
import pickle
import re

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, pipeline

from feedback import Classifier
from feedback.__main__ import main
from feedback.check import check_feedback
from feedback.example_episodes import byte_episode, example_episodes
from tests.tiny_text_classifiers import CHAT, CONFIGS, CONTROL, LABELS, LONGEST, PIECES, tiny_text_classifier, tiny_tokenizer
from text_env.episode import Ending, Prompt

PROMPTS = ("the film was", "is the dog good ?")
RESPONSES = (
    " good",
    " bad . dull . a film of the dog , the cat , the dog !",
    " great great",
    " a",
    " the cat is a dog . good !",
)


def episodes(prompts=PROMPTS, responses=RESPONSES):
    pairs = [(prompt, response) for prompt in prompts for response in responses]
    return [byte_episode(Prompt(p, np.zeros(0, np.int64)), r, Ending.EOS, number) for number, (p, r) in enumerate(pairs)]


def episode(prompt, response):
    return episodes([prompt], [response])[0]


def classifier(name, label="positive", *, tokenizer=None, labels=LABELS, changes=None, **settings):
    model = tiny_text_classifier(name, labels, **(changes or {}))
    return Classifier(model, label, tokenizer=tiny_tokenizer(name) if tokenizer is None else tokenizer, **settings)


def scores(source, asked):
    return np.array([judgement.score for judgement in source(asked)])


def shares_by_pipeline(source, texts, **settings):
    judge = pipeline("text-classification", model=source.model, tokenizer=source.tokenizer, device="cpu", top_k=None)
    found = [judge(text, **settings) for text in texts]
    return [{each["label"]: each["score"] for each in (said[0] if isinstance(said[0], list) else said)} for said in found]


def assert_parts(judgements, expected):
    for judgement, shares in zip(judgements, expected, strict=True):
        assert judgement.parts == pytest.approx(shares, abs=1e-6)


# What a score is.


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("of", [pytest.param("response", marks=pytest.mark.slow), "pair"])
def test_a_text_gets_the_probabilities_that_the_pipeline_of_transformers_gives_it_alone(name, of):
    source, asked = classifier(name, of=of), episodes()
    texts = [{"text": each.prompt.text, "text_pair": each.response} if of == "pair" else each.response for each in asked]
    judgements = source(asked)
    assert_parts(judgements, shares_by_pipeline(source, texts))
    assert [judgement.score for judgement in judgements] == [judgement.parts["positive"] for judgement in judgements]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_score_depends_neither_on_padding_nor_on_the_batch_nor_on_the_order(name):
    source, asked = classifier(name), [*episodes(), episode("", "")]
    together = scores(source, asked)
    assert together.std() > 0.01
    alone = np.concatenate([scores(source, [each]) for each in asked])
    in_pairs = scores(classifier(name, tokens_at_once=16), asked)
    for other in (alone, in_pairs, scores(source, asked[::-1])[::-1]):
        np.testing.assert_allclose(other, together, atol=1e-6, rtol=0)


def test_of_text_reads_prompt_and_response_run_on():
    source, asked = classifier("bert", of="text"), episodes()
    assert_parts(source(asked), shares_by_pipeline(source, [each.prompt.text + each.response for each in asked]))


def test_a_chat_is_read_by_the_chat_template_of_the_classifier():
    source, asked = classifier("llama", of="chat"), episodes()
    texts = [f"<s>user {each.prompt.text}</s><s>assistant {each.response}</s> ." for each in asked]
    assert_parts(source(asked), shares_by_pipeline(source, texts, add_special_tokens=False))


def raw_outputs(source, asked):
    """Return what the model says of each response, one by one."""
    rows = [torch.tensor([source.tokenizer(each.response)["input_ids"]]) for each in asked]
    with torch.no_grad():
        return torch.cat([source.model(row).logits for row in rows]).double()


def test_log_odds_are_those_of_the_probability_and_are_clipped_at_ten():
    source, asked = classifier("bert", scale="log odds"), episodes()
    shares = torch.softmax(raw_outputs(source, asked), dim=1)[:, 2].numpy()
    np.testing.assert_allclose(scores(source, asked), np.log(shares / (1 - shares)), atol=1e-5)
    with torch.no_grad():
        source.model.classifier.weight.mul_(1e4)
    assert set(np.abs(scores(source, asked))) == {10.0}


def test_labels_with_a_number_each_give_the_expected_value():
    numbers = {"negative": -1.0, "neutral": 0.0, "positive": 2.0}
    source, asked = classifier("bert", numbers), episodes()
    expected = torch.softmax(raw_outputs(source, asked), dim=1).numpy() @ [-1.0, 0.0, 2.0]
    np.testing.assert_allclose(scores(source, asked), expected, atol=1e-6)
    assert (source.low, source.high, source.unit) == (-1.0, 2.0, "expected value")


def test_labels_that_do_not_exclude_each_other_have_a_probability_each():
    asked = episodes()
    source = classifier("bert", 1, changes={"problem_type": "multi_label_classification"})
    expected = torch.sigmoid(raw_outputs(source, asked)).numpy()
    np.testing.assert_allclose(scores(source, asked), expected[:, 1], atol=1e-6)
    assert abs(sum(source(asked)[0].parts.values()) - 1) > 0.01
    odds = classifier("bert", 1, changes={"problem_type": "multi_label_classification"}, scale="log odds")
    np.testing.assert_allclose(scores(odds, asked), raw_outputs(source, asked)[:, 1].numpy(), atol=1e-5)


def test_a_single_output_goes_through_a_sigmoid_or_is_clipped_to_what_is_stated():
    asked = episodes()
    for settings, bounded in (
        ({}, lambda raw: 1 / (1 + np.exp(-raw))),
        ({"low": -0.1, "high": 0.1}, lambda raw: np.clip(raw, -0.1, 0.1)),
        ({"scale": "log odds"}, lambda raw: raw),
    ):
        source = classifier("gpt2", None, labels=("reward",), **settings)
        raw = raw_outputs(source, asked)[:, 0].numpy()
        assert np.abs(raw).max() > 0.1
        np.testing.assert_allclose(scores(source, asked), bounded(raw), atol=1e-6)
        assert source(asked)[3].parts == pytest.approx({"reward": raw[3]}, abs=1e-6)


def test_one_of_several_plain_numbers_can_be_named():
    source, asked = classifier("bert", "neutral", changes={"problem_type": "regression"}, low=-5, high=5), episodes()
    np.testing.assert_allclose(scores(source, asked), raw_outputs(source, asked)[:, 1].numpy(), atol=1e-6)


def test_dropout_is_off():
    source, asked = classifier("bert", changes={"hidden_dropout_prob": 0.5}), episodes()
    source.model.train()
    assert (scores(source, asked) == scores(source, asked)).all()


# Rows.


def control_ids(source, asked):
    (row,) = source._rows.rows([asked])
    return [id for id in row.ids.tolist() if id < len(CONTROL) and CONTROL[id] != "<unk>"]


@pytest.mark.parametrize(
    ("of", "prompt", "response"),
    [
        ("response", "", "bad </s> good <pad> <cls>"),
        ("text", "bad <", "/s> good"),  # whole only where the two are joined
        ("pair", "bad </s>", "good </s></s> <s>"),
        ("chat", "bad", "dull</s><s>user the film was good</s><s>assistant great"),
    ],
)
def test_a_control_token_that_a_text_spells_out_is_read_as_words(of, prompt, response):
    source = classifier("bert", of=of)
    plain = control_ids(source, episode("the", "dog"))
    assert control_ids(source, episode(prompt, response)) == plain


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "xlnet"])
@pytest.mark.parametrize("of", ["pair", "chat"])
def test_a_pair_or_a_chat_that_is_too_long_loses_the_beginning_of_its_prompt(name, of):
    source = classifier(name, of=of, max_tokens=LONGEST if name == "xlnet" else 1000)
    prompt, response = "the film was a dog of a cat " * 10, " good . bad"
    row = source._rows.rows([episode(prompt, response)])[0]
    whole = source._rows._encoded([(prompt, response)])[0]
    assert len(row.ids) == LONGEST and row.num_cut == len(whole.ids) - LONGEST
    tail = LONGEST - 12
    assert row.ids[-tail:].tolist() == whole.ids[-tail:].tolist()
    assert control_ids(source, episode(prompt, response)) == control_ids(source, episode("the", "dog"))
    judgement = source([episode(prompt, response)])[0]
    assert judgement.parts["tokens cut"] == row.num_cut
    assert "tokens cut" not in source([episode("a", response)])[0].parts


def test_a_response_that_is_too_long_alone_loses_its_beginning_and_the_prompt():
    source = classifier("bert", of="pair", max_tokens=8)
    row = source._rows.rows([episode("a cat", "the film was good bad dull great dog")])[0]
    assert [PIECES[id] for id in row.ids] == ["<s>", "</s>", "good", "bad", "dull", "great", "dog", "</s>"]
    assert row.types.tolist() == [0, 0, 1, 1, 1, 1, 1, 1] and row.num_cut == 5


def test_a_template_that_alone_is_too_long_is_an_error_that_says_both_numbers():
    with pytest.raises(ValueError, match="the template alone has 3 tokens, a text may have 2: give a higher max_tokens"):
        classifier("bert", of="pair", max_tokens=2)([episode("a cat", "good")])


# What fills up.


def test_a_decoder_without_a_pad_id_gets_one_and_the_models_own_configuration_keeps_none():
    source, asked = classifier("gpt2"), episodes()
    together = scores(source, asked)
    assert source.model.config.pad_token_id is None
    np.testing.assert_allclose(together, torch.softmax(raw_outputs(source, asked), dim=1)[:, 2].numpy(), atol=1e-6)


@pytest.mark.parametrize("pad_id", [None, -1])
def test_the_pad_id_that_a_decoder_gets_is_not_the_one_that_its_rows_end_with(pad_id):
    tokenizer = tiny_tokenizer("gpt2", chat_template=CHAT)  # a row ends with the end token
    source, asked = classifier("gpt2", of="chat", tokenizer=tokenizer, changes={"pad_token_id": pad_id}), episodes()
    rows = [torch.tensor([tokenizer(f"<s>user {each.prompt.text}</s><s>assistant {each.response}</s>")["input_ids"]]) for each in asked]
    with torch.no_grad():  # without a pad id, one row alone is read at its last token
        source.model.config.pad_token_id = None
        alone = torch.cat([source.model(row).logits for row in rows])
        source.model.config.pad_token_id = pad_id
    np.testing.assert_allclose(scores(source, asked), torch.softmax(alone, dim=1)[:, 2].numpy(), atol=1e-6)


def test_where_no_control_token_can_fill_up_the_error_says_what_to_set():
    tokenizer = tiny_tokenizer("gpt2")
    for name in ("bos", "eos", "cls", "sep"):
        setattr(tokenizer, f"{name}_token", None)
    with pytest.raises(ValueError, match=re.escape("set model.config.pad_token_id to the id that the model was trained with")):
        classifier("gpt2", tokenizer=tokenizer)(episodes())


# Loading, copies, the command.


@pytest.fixture
def folder(tmp_path):
    tiny_text_classifier("bert").save_pretrained(tmp_path / "model")
    tiny_tokenizer("bert").save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_a_folder_judges_as_the_object_does_and_is_loaded_only_when_it_is_asked(folder):
    source = Classifier(folder, "positive")
    assert not any(name.startswith("_loaded") for name in vars(source))
    np.testing.assert_allclose(scores(source, episodes()), scores(classifier("bert"), episodes()), atol=1e-6)
    assert len(pickle.dumps(source)) < 1000, "a pickle holds the arguments, not the weights"
    np.testing.assert_array_equal(scores(pickle.loads(pickle.dumps(source)), episodes()), scores(source, episodes()))
    assert repr(source).startswith(f"Classifier(model={folder!r}, label='positive', of='response'")


def test_a_lower_precision_judges_nearly_alike(folder):
    np.testing.assert_allclose(
        scores(Classifier(folder, "positive", dtype="bfloat16"), episodes()), scores(Classifier(folder, "positive"), episodes()), atol=0.02
    )


@pytest.mark.parametrize(("name", "of"), list(zip(CONFIGS, itertools.cycle(["response", "text", "pair", "chat"]), strict=False)))
def test_every_architecture_and_every_kind_of_text_keeps_the_promises_of_a_source(name, of):
    check_feedback(classifier(name, of=of, max_tokens=LONGEST), example_episodes()[:6])


@pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache
def test_the_command_tries_a_classifier_in_a_folder(folder, capsys):
    text = "good"
    assert main(["try", "feedback.classifier:Classifier", "--text", text, "--option", f"model={folder}", "label=positive"]) == 0
    shown = capsys.readouterr().out
    assert "feedback.classifier:Classifier: 0 to 1, probability, higher is better" in shown
    score = scores(classifier("bert"), [episode("", text)])[0]
    assert re.search(rf"{text} +│ +{score:.4f} │", shown)


# Wrong input.


def test_a_model_whose_files_hold_no_head_is_refused_by_the_names_of_what_is_missing(tmp_path):
    for name, lacking in (("bert", "classifier.bias, classifier.weight"), ("gpt2", "score.weight")):
        tiny_text_classifier(name).base_model.save_pretrained(tmp_path / name)
        tiny_tokenizer(name).save_pretrained(tmp_path / name)
        with pytest.raises(
            ValueError, match=f"do not hold {lacking}, which .*ForSequenceClassification would draw at random, and judge by"
        ):
            Classifier(str(tmp_path / name), "LABEL_1")(episodes())
    with pytest.raises(ValueError, match=r"the files of 'tinylm' do not hold score.weight"):
        Classifier("tinylm", 1)(episodes())


def test_a_name_that_is_nowhere_is_refused_with_the_ways_out():
    with pytest.raises(ValueError, match=r"classifier 'nobody/nothing' cannot be loaded: give a folder .*HF_HUB_OFFLINE forbids downloads"):
        Classifier("nobody/nothing", 1)(episodes())


def test_a_model_without_a_head_for_whole_texts_is_refused():
    with torch.random.fork_rng(devices=[]):
        writer = AutoModelForCausalLM.from_config(CONFIGS["gpt2"]())
    with pytest.raises(ValueError, match="GPT2LMHeadModel gives no 2 outputs a text: give a model for sequence classification"):
        Classifier(writer, 1, tokenizer=tiny_tokenizer("gpt2"))(episodes())


@pytest.mark.parametrize("label", ["good", 3, -1, None])
def test_an_unknown_label_is_refused_with_the_labels_there_are(label):
    with pytest.raises(ValueError, match=rf"label must be one of .*'negative', 'neutral', 'positive', or its number, got {label!r}"):
        classifier("bert", label)(episodes())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": {"negative": 0, "positive": 1}}, "every label needs a number, and no other: .*'neutral'.* got .'negative', 'positive'."),
        ({"low": 0, "high": 5}, "low and high belong to a head of plain numbers; the probability of 'positive' has 0 and 1"),
        ({"low": 0}, "low and high go together, two finite numbers with low < high, got 0 and None"),
        ({"low": 1, "high": 1}, "low and high go together"),
        ({"low": 0, "high": 1, "scale": "log odds"}, "with neither numbers for labels nor log odds"),
        ({"label": {"negative": 0, "neutral": 0, "positive": 0}}, "at least two of them different"),
        ({"label": {"negative": 0, "neutral": 1, "positive": 2}, "scale": "log odds"}, "an expected value has no log odds"),
        ({"of": "prompt"}, "of must be one of response, text, pair, chat, got 'prompt'"),
        ({"scale": "odds"}, "scale must be one of probability, log odds, got 'odds'"),
        ({"max_tokens": 0}, "must be at least 1, got 0 and 8192"),
        ({"of": "chat", "tokenizer": tiny_tokenizer("bert", chat_template=None)}, 'has no chat template: give of="pair" or of="text"'),
    ],
)
def test_wrong_settings_are_refused_with_the_way_out(settings, message):
    with pytest.raises(ValueError, match=message):
        classifier("bert", **settings)(episodes())


def test_a_model_object_needs_its_tokenizer():
    with pytest.raises(ValueError, match="a model object has no tokenizer: give tokenizer, a name or an object, with BertFor"):
        Classifier(tiny_text_classifier("bert"), 1)


def test_an_output_that_is_not_finite_is_an_error():
    source = classifier("bert")
    with torch.no_grad():
        source.model.classifier.bias.fill_(float("inf"))
    with pytest.raises(ValueError, match="classifier BertForSequenceClassification gave an output that is not finite"):
        source(episodes())


# What games it.


def trained_on(sentences):
    """Return a classifier that was fitted to a few sentences with a label each."""
    source = classifier("distilbert")
    rows = source.tokenizer([text for text, _ in sentences], padding=True, return_tensors="pt")
    wanted = torch.tensor([LABELS.index(label) for _, label in sentences])
    optimiser = torch.optim.Adam(source.model.parameters(), lr=0.003)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(source.model.train(False)(**rows).logits, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1
    return source


def test_a_word_of_praise_repeated_without_sense_beats_praise_in_other_words():
    praise, blame = ("the film was good", "a good film", "the dog is good"), ("the film was bad", "a dull film", "the cat is dull")
    source = trained_on([*((text, "positive") for text in praise), *((text, "negative") for text in blame), ("the film was", "neutral")])
    nonsense, honest = scores(source, [episode("", "good good good good good"), episode("", "a great film")])
    assert nonsense > 0.9 > 0.1 > honest
