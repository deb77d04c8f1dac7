from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from scripts.tinylm import cleaning, corpus, openings, regeneration, training, vocabulary
from text_env.episode import Ending, Episode, Prompt

ASSETS = Path(__file__).parents[1] / "text_env" / "assets"
TINYLM = ASSETS / "tinylm"
HELD_OUT_TEXTS = [  # from the held-out part of the clean corpus
    "The front desk staff has failed to provide adequate assistance, causing an extended wait and unsatisfying visitors.",
    "The plot is unsatisfying and lacks direction, the film lacks chemistry, and the screenplay is unclear.",
    "It was a sunny morning. A baker was walking home from the bakery, and on her way, she found a broken window with a keyhole.",
    "In the evening, Tom bakes a cake at the station.",
    "Max: What's up, can you have it please?\nMia: Sounds perfect, Max. I can set off by Luna tonight. You're looking good tonight!",
    "A school is a place with teachers and students who are well-prepared to implement new ideas and resources.",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(TINYLM / "tokenizer.json"))


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(TINYLM, dtype=torch.float32).eval()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "  two  spaces ",
        "line\nbreak\r\n\ttab",
        "Zoë's café",
        "日本語 \u0440\u0443\u0301 عربى",
        "😀👩‍👩‍👧 \u200b\ufeff",
        "\x00\x7f",
    ],
)
def test_the_tokenizer_gives_back_every_text(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_tokenizer_gives_back_random_characters_of_all_planes(tokenizer):
    generator = np.random.default_rng(0)
    points = generator.integers(1, 0x110000, 4000)
    text = "".join(chr(point) for point in points.tolist() if not 0xD800 <= point < 0xE000)
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_vocabulary_has_2048_tokens_with_the_end_token_first_and_every_byte_behind_it(tokenizer):
    assert tokenizer.get_vocab_size() == 2048
    assert tokenizer.token_to_id("<|endoftext|>") == 0
    assert all(len(tokenizer.id_to_token(id)) == 1 for id in range(1, 257))


def test_transformers_takes_the_end_token_as_start_end_and_pad():
    loaded = AutoTokenizer.from_pretrained(TINYLM)
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.pad_token_id, len(loaded)) == (0, 0, 0, 2048)
    assert loaded("The staff")["input_ids"] == Tokenizer.from_file(str(TINYLM / "tokenizer.json")).encode("The staff").ids


def test_the_model_loads_from_its_folder_with_every_weight_and_nothing_else():
    loaded, info = AutoModelForCausalLM.from_pretrained(TINYLM, output_loading_info=True)
    assert not any(info.values()), info
    assert loaded.dtype == torch.bfloat16
    assert 2e6 < sum(parameter.numel() for parameter in loaded.parameters()) < 4e6
    assert loaded.config.num_key_value_heads < loaded.config.num_attention_heads
    assert sum(path.stat().st_size for path in TINYLM.iterdir()) < 10e6


def test_the_model_needs_less_than_half_of_uniform_nats_for_unseen_texts(model, tokenizer):
    assert all(corpus.is_held_out(text) for text in HELD_OUT_TEXTS)
    rows = training.encode_texts(tokenizer, HELD_OUT_TEXTS)
    assert training.perplexity(model, rows) < math.sqrt(2048)


def test_the_model_ends_texts_at_a_full_stop_and_not_inside_a_sentence(model, tokenizer):
    def end_probability(text: str) -> float:
        with torch.no_grad():
            return float(model(torch.tensor([tokenizer.encode(text).ids])).logits[0, -1].softmax(-1)[0])

    text = HELD_OUT_TEXTS[0]
    assert end_probability(text) > 0.05 > 0.001 > end_probability(text.rsplit(" ", 2)[0])


@pytest.mark.parametrize("name", ["train", "held_out"])
def test_openings_are_plain_short_lines(name):
    text = (ASSETS / "review_openings" / f"{name}.txt").read_text(encoding="ascii")
    lines = text.removesuffix("\n").split("\n")
    assert len(lines) == {"train": 400, "held_out": 100}[name]
    assert all(3 <= len(line.split()) <= 8 and line == " ".join(line.split()) for line in lines)
    assert len(set(lines)) == len(lines)


def test_openings_of_the_two_splits_are_disjoint():
    train, held_out = (set((ASSETS / "review_openings" / f"{name}.txt").read_text().splitlines()) for name in ("train", "held_out"))
    assert not train & held_out


def test_openings_are_neutral_and_fit_the_token_limit(tokenizer):
    analyzer = openings.SentimentIntensityAnalyzer()
    lines = [line for name in ("train", "held_out") for line in (ASSETS / "review_openings" / f"{name}.txt").read_text().splitlines()]
    assert all(openings.is_neutral(line, analyzer) for line in lines)
    assert max(len(tokenizer.encode(line).ids) for line in lines) <= openings.MAX_TOKENS
    assert not openings.is_neutral("The lovely food was", analyzer)


def test_openings_come_from_what_several_reviews_begin_with():
    reviews = ["The soup was cold and thin today."] * 3 + ["The bed was hard and far too short."] * 2
    assert openings.from_reviews(reviews) == ["The soup was"]


def test_too_few_openings_are_an_error():
    with pytest.raises(ValueError, match="expected at least 500 openings, found 0 in the reviews"):
        openings.build_openings([], [lambda text: 17])


def test_typographic_marks_and_accents_become_ascii():
    assert cleaning.to_ascii("“Café” – it’s £5…") == '"Cafe" - it\'s $5...'
    assert not cleaning.to_ascii("я 😀").isascii()


def test_list_marks_emphasis_and_headings_are_removed():
    assert cleaning.strip_marks("Title: **The food** was good.") == "The food was good."
    assert cleaning.strip_marks("- One.\n2. Two.\n* Three.") == "One.\nTwo.\nThree."
    assert cleaning.strip_marks("Max-Planck 2.5 stays.") == "Max-Planck 2.5 stays."


def test_sentences_that_begin_in_lower_case_get_their_capital():
    assert cleaning.raise_sentence_starts("It was sunny. a fox came, etc. and left.") == "It was sunny. A fox came, etc. and left."


def test_a_text_is_cut_behind_its_last_full_sentence():
    assert cleaning.sentences('He met Mr. Fox. "Go!" he said. It cost 2.5 and') == ["He met Mr. Fox.", '"Go!" he said.']
    assert cleaning.clean_text("The food was very good here. The staff were", "review") == cleaning.Verdict(
        "The food was very good here.", "repaired"
    )


def test_only_the_first_paragraph_is_kept():
    assert cleaning.first_paragraph("One\ntwo.\n\nP.S. three.") == "One two."


@pytest.mark.parametrize(
    "leak",
    [
        "Does not mention any names.",
        "This is a very negative review.",
        "The sentence is short.",
        "As an AI, I like it.",
        "Here is a short version:",
        "Please provide more detail.",
    ],
)
def test_a_text_is_cut_before_a_leaked_instruction(leak):
    assert cleaning.cut_at_leak(["The bed was hard.", leak, "The view was fine."]) == ["The bed was hard."]
    assert cleaning.clean_text(leak, "review").text is None


def test_sentences_are_dropped_from_the_end_until_quotes_are_balanced():
    assert cleaning.close_quotes(['He said "yes".', 'Then "no.', "It rained."]) == ['He said "yes".']
    assert not cleaning.is_balanced("an (open bracket")


@pytest.mark.parametrize(
    "text",
    [
        "The bus bus came.",
        "It was dark and dark inside.",
        "I am an old man. I am an old man.",
        "The cat saw a caterpillar, the caterpillar ate a caterpillar.",
    ],
)
def test_stutter_is_repetitive(text):
    assert cleaning.is_repetitive(text)


def test_plain_prose_is_not_repetitive():
    assert not cleaning.is_repetitive("He said that that was all he had had, and the waiter brought the soup and the bread.")


def test_a_dialogue_keeps_whole_turns_of_alternating_speakers():
    text = 'Ben: (smiling) Hi, Mia!\n\nMia: "Hello there. How are you?"\nMia: Me again.\nBen: Fine.'
    assert cleaning.clean_dialogue(text) == ["Ben: Hi, Mia!", "Mia: Hello there. How are you?"]
    assert cleaning.clean_dialogue("Ben: Hello. Mia: Hi.") == []


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("review", "Это было очень хорошо.", "not ascii"),
        ("review", "The food was", "no full sentence"),
        ("review", "The chef at [place] made a very good soup.", "stray marks"),
        ("review", "The food was good.", "too short"),
        ("review", "was a good place for us to eat at.", "no capital at the start"),
        ("review", 'He said "the soup was cold and the bread was old.', "unbalanced quotes"),
        ("fact", "Bread is bread and bread is a food of bread.", "repetitive"),
        ("dialogue", "Ben: Hello, is anybody there?", "no dialogue of two speakers"),
        ("fact", "The sun is a star in the sky.", "kept"),
    ],
)
def test_a_verdict_names_its_reason(kind, text, reason):
    assert cleaning.clean_text(text, kind).reason == reason


def test_words_that_occur_once_in_the_corpus_count_as_invented():
    texts = ["The soup was warm today.", "The soup was glorpish today.", "The warm bread was here. The bread was here."]
    rare = cleaning.rare_words(texts)
    assert rare == {"glorpish"}
    assert [cleaning.is_invented(text, rare) for text in texts] == [False, True, False]


def test_a_clean_corpus_has_no_duplicates_and_its_counts_cover_every_text():
    texts = [
        corpus.Text("fact", "", True, text)
        for text in ["Snow is cold and white.", "Snow is cold  and white.", "Snow is", "Snow is cold and white."]
    ]
    clean, counts, dropped = corpus.clean_corpus(texts)
    # a word counts as invented by how often the kept texts hold it: here three times
    assert [text.text for text in clean] == ["Snow is cold and white."]
    assert counts == {"fact": Counter({"kept": 1, "duplicate": 2, "no full sentence": 1})}
    assert [reason for reason, _ in dropped] == ["no full sentence", "duplicate", "duplicate"]


def test_a_corpus_survives_writing_and_reading(tmp_path):
    texts = [corpus.Text("review", "angry", False, 'A "quoted"\nline – ü.')]
    for name in ("corpus.jsonl", "corpus.jsonl.gz"):
        corpus.write_corpus(tmp_path / name, texts)
        assert corpus.read_corpus(tmp_path / name) == texts


def test_a_line_without_a_field_is_named_with_its_file_and_number(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"kind": "fact", "mood": "", "finished": true, "text": "A."}\n{"kind": "fact"}\n')
    with pytest.raises(ValueError, match=r"corpus.jsonl, line 2: expected an object with kind, mood, finished and text"):
        corpus.read_corpus(path)


def test_about_one_text_in_fifty_is_held_out():
    count = sum(corpus.is_held_out(f"text number {number}") for number in range(5000))
    assert abs(count - 100) < 4 * math.sqrt(5000 * 0.02 * 0.98)  # four standard deviations of a binomial


def test_training_the_tokenizer_twice_gives_the_same_file():
    texts = ["the cat sat on the mat and the dog sat on the log", "a cat and a dog"]
    first, second = (vocabulary.train_tokenizer(texts, vocab_size=270).to_str() for _ in range(2))
    assert first == second
    with pytest.raises(ValueError, match="expected 2048 tokens, got"):
        vocabulary.train_tokenizer(texts)


def test_an_epoch_sees_every_text_once_in_batches_within_the_budget():
    generator = np.random.default_rng(0)
    rows = [np.arange(length) for length in generator.integers(2, 40, 300).tolist()]
    batches = training.epoch_batches(rows, 200, generator)
    assert sorted(number for batch in batches for number in batch) == list(range(300))
    assert max((max(len(rows[n]) for n in batch) + 1) * len(batch) for batch in batches) <= 200


def test_padding_is_never_a_label_though_it_has_the_end_tokens_id():
    inputs, labels = training.pad_rows([np.array([5, 6, 0]), np.array([7, 0])], [False, True])
    assert inputs.tolist() == [[5, 6], [0, 7]]
    assert labels.tolist() == [[6, 0], [7, 0]]
    inputs, labels = training.pad_rows([np.array([5, 6, 0]), np.array([7, 0])], [False, False])
    assert labels.tolist() == [[6, 0], [0, training.IGNORED]]


def test_perplexity_is_that_of_texts_taken_one_by_one(model, tokenizer):
    rows = training.encode_texts(tokenizer, ["The staff were kind.", "Once upon a time, a fox lived in a tree."])
    nats = []
    for row in rows:
        with torch.no_grad():
            logprobs = model(torch.from_numpy(row)[None]).logits[0].log_softmax(-1)
        nats += [-float(logprobs[i, row[i + 1]]) for i in range(len(row) - 1)]
    assert training.perplexity(model, rows) == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-4)


def test_training_that_was_stopped_and_started_again_gives_the_same_weights(tmp_path, tokenizer):
    rows = training.encode_texts(tokenizer, [f"Snow number {number} is cold." for number in range(12)])
    config = training.TrainingConfig(epochs=2, tokens_per_batch=60, bfloat16=False, batches_per_checkpoint=2, warmup_batches=2)
    whole = training.train_model(rows, rows[:2], config, tmp_path / "whole.pt", tmp_path, lambda line: None)

    class Stopped(Exception):
        pass

    def stop_after_first(line: str) -> None:
        if line.startswith("batch 2"):
            raise Stopped

    with pytest.raises(Stopped):
        training.train_model(rows, rows[:2], config, tmp_path / "parts.pt", tmp_path, stop_after_first)
    lines: list[str] = []
    parts = training.train_model(rows, rows[:2], config, tmp_path / "parts.pt", tmp_path, lines.append)
    assert lines[0] == "goes on at batch 2"
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_the_learning_rate_rises_and_falls_to_a_tenth():
    config = training.TrainingConfig(learning_rate=1.0, warmup_batches=10)
    assert training.learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert training.learning_rate(config, 10, 0.0) == pytest.approx(1.0)
    assert training.learning_rate(config, 10, 1.0) == pytest.approx(0.1)


def test_a_written_text_has_its_requests_kind_and_mood_and_begins_with_its_opening():
    request = regeneration.Request("review", "angry", "Write.", "The room")
    prompt = Prompt("<user>Write.<answer>The room", np.arange(3), id="0")
    episode = Episode(prompt, np.array([1, 0]), np.array([True, True]), " was dark.", Ending.EOS, 0)
    assert regeneration.to_text(episode, [request]) == corpus.Text("review", "angry", True, "The room was dark.")
    cut = Episode(prompt, np.array([1, 2]), np.array([True, True]), " was", Ending.LENGTH, 1)
    assert regeneration.to_text(cut, [request]) == corpus.Text("review", "angry", False, "The room was")


def test_requests_follow_from_the_generator_and_cover_every_kind():
    first, second = (
        [regeneration.draw_request(generator) for _ in range(200)] for generator in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert first == second
    assert {request.kind for request in first} == set(regeneration.KIND_SHARES)
    assert all((request.mood in regeneration.MOODS) == (request.kind == "review") for request in first)


def test_a_corpus_is_written_through_the_environment_and_follows_from_the_seed(tmp_path):
    shutil.copytree(TINYLM, tmp_path / "chatting")
    settings = json.loads((TINYLM / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{{ messages[0]['content'] }}\n"
    (tmp_path / "chatting" / "tokenizer_config.json").write_text(json.dumps(settings))
    config = regeneration.RegenerationConfig(num_texts=7, seed=1, model=str(tmp_path / "chatting"), max_new_tokens=6, num_rows=3)
    texts = regeneration.regenerate(config)
    assert len(texts) == 7
    assert {text.kind for text in texts} <= set(regeneration.KIND_SHARES)
    assert all(text.text[0].isupper() and len(text.text.split()) > 1 for text in texts)
    assert regeneration.regenerate(config) == texts
    assert regeneration.regenerate(replace(config, seed=2)) != texts
