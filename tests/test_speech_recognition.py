"""Hear synthetic speech: commands by pocketsphinx, free speech by a tiny random model."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest

from feedback.speech.recogniser import NOTHING
from feedback.speech.recording import RATE, Recording, RecordingError
from feedback.speech.speech_synthesis import Voice, can_speak, noise, say, silence
from feedback.speech.spoken_commands import CONFIRMATION, Commands, commands_for
from feedback.speech.understanding import LEAST_CONFIDENCE
from feedback.study.records import Kind, Question

needs_commands = pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None, reason="pocketsphinx, which hears commands, is not installed"
)
needs_voices = pytest.mark.skipif(not can_speak(), reason="espeak-ng, which says the commands, is not installed")
RATING = commands_for(Question(Kind.RATE, ("x",)))
COMPARISON = commands_for(Question(Kind.COMPARE, ("x", "y")))


@pytest.fixture(scope="module")
def recogniser():
    from feedback.speech.command_recogniser import CommandRecogniser

    return CommandRecogniser()


@needs_commands
@needs_voices
@pytest.mark.parametrize(
    ("text", "commands", "meaning"),
    [
        ("rating four", RATING, "4"),
        ("two", RATING, "2"),
        ("the first is better", COMPARISON, "a"),
        ("the second one", COMPARISON, "b"),
        ("they are equal", COMPARISON, "tie"),
        ("both are bad", COMPARISON, "all_bad"),
        ("yes", CONFIRMATION, "yes"),
    ],
)
def test_a_clear_command_is_heard_with_confidence(recogniser, text, commands, meaning):
    heard = recogniser(say(text), commands)
    assert commands.meaning(heard.text) == meaning
    assert heard.confidence >= LEAST_CONFIDENCE
    assert commands.meaning(heard.alternatives[0][0]) != meaning


@needs_commands
@needs_voices
@pytest.mark.parametrize("text", ["the weather is nice today", "please call my mother tomorrow", "where is the train station", "hello"])
@pytest.mark.parametrize("commands", [RATING, COMPARISON, CONFIRMATION], ids=["rating", "comparison", "confirmation"])
def test_another_sentence_is_not_taken_for_a_command(recogniser, text, commands):
    assert recogniser(say(text), commands).confidence < LEAST_CONFIDENCE


@needs_commands
@needs_voices
def test_very_good_is_not_taken_for_equal(recogniser):
    for voice in (Voice("en-us"), Voice("en-gb"), Voice("en-us+f2")):
        heard = recogniser(say("very good", voice), COMPARISON)
        assert heard.confidence < LEAST_CONFIDENCE


@needs_commands
@pytest.mark.parametrize("loudness", [0.01, 0.1, 0.5])
def test_noise_is_not_taken_for_a_command(recogniser, loudness):
    for commands in (RATING, COMPARISON):
        assert recogniser(noise(1.5, loudness), commands) == NOTHING


@needs_commands
def test_silence_and_long_recordings_are_refused_before_they_are_decoded(recogniser):
    with pytest.raises(RecordingError, match="silent"):
        recogniser(silence(1.0), RATING)
    with pytest.raises(RecordingError, match=r"at most 10 s, got 11\.0 s"):
        recogniser(noise(11.0), RATING)
    with pytest.raises(ValueError, match="give what can be said"):
        recogniser(noise(1.0))


@needs_commands
@needs_voices
def test_what_was_said_before_changes_nothing(recogniser):
    sound = say("rating four")
    first = recogniser(sound, RATING)
    recogniser(noise(2.0, 0.3), COMPARISON)
    recogniser(say("the first is better"), COMPARISON)
    assert recogniser(sound, RATING) == first


@needs_commands
@needs_voices
def test_a_word_that_the_dictionary_lacks_is_left_out(recogniser):
    with_unknown = Commands({"one": ("one",), "other": ("qwzx",), "third": ("second",)})
    assert recogniser(say("one"), with_unknown).text == "one"


@needs_commands
def test_what_is_as_loud_all_the_time_is_steady_and_speech_is_not():
    from feedback.speech.command_recogniser import is_steady

    assert is_steady(noise(2.0).samples)
    if can_speak():
        assert not is_steady(say("good", noise_decibels=5.0).samples)


@needs_voices
def test_noise_is_added_at_the_stated_distance():
    clean, loud = say("the first is better"), say("the first is better", noise_decibels=10.0)
    scale = (clean.samples.astype(float) @ loud.samples) / (clean.samples.astype(float) @ clean.samples)
    rest = loud.samples - scale * clean.samples
    ratio = 10 * np.log10(((scale * clean.samples) ** 2).mean() / (rest**2).mean())
    assert ratio == pytest.approx(10.0, abs=0.2)


# Free speech.


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """Save a random model that writes letters."""
    import json

    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2Processor

    folder = tmp_path_factory.mktemp("model")
    letters = {letter: number for number, letter in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefgh"])}
    (folder / "vocab.json").write_text(json.dumps(letters))
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    layers = {
        "conv_dim": (8, 8),
        "conv_stride": (20, 16),
        "conv_kernel": (20, 16),
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=len(letters), **sizes, **layers))
    model.save_pretrained(folder)
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), pad_token="<pad>")
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(sampling_rate=RATE), tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.draws_globally  # transformers draws weights before it loads them
def test_free_speech_is_whatever_the_model_writes_and_claims_no_confidence(tiny_model):
    from feedback.speech.free_speech import FreeSpeech

    hear = FreeSpeech(str(tiny_model))
    sound = noise(1.0)
    heard = hear(sound)
    assert set(re.sub("<[^>]+>", "", heard.text)) & set("abcdefgh")
    assert heard.confidence is None
    assert hear(sound) == heard
    assert hear(sound, RATING).text == ""  # letters are no rating
    with pytest.raises(RecordingError, match="silent"):
        hear(Recording(np.zeros(RATE, np.int16)))


def test_a_model_that_is_nowhere_is_an_error_that_names_it(tmp_path):
    from feedback.speech.free_speech import FreeSpeech

    with pytest.raises(OSError, match="no-such"):
        FreeSpeech(str(tmp_path / "no-such"))
