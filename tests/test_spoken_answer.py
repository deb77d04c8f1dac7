"""Take spoken answers: from what was heard to what is stored, with words given and no microphone."""

from __future__ import annotations

import numpy as np
import pytest

from feedback.speech.artefacts import Artefacts
from feedback.speech.recogniser import Heard
from feedback.speech.recording import RATE, Recording, RecordingError, write_wav
from feedback.speech.spoken_answer import SpokenAnswer, Stage
from feedback.speech.spoken_commands import Commands, commands_for, normal
from feedback.speech.understanding import Understood, is_undo, understand
from feedback.study.queueing import Queue
from feedback.study.records import Interface, Kind, Lease, Outcome, Passage, Question, RecordError, Scale
from feedback.study.store import Store
from tests.page_study import NO_TESTS, NUM_PASSAGES, Clock, question

SOUND = write_wav(Recording(np.random.default_rng(0).integers(-9000, 9000, RATE).astype(np.int16)))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "study.db", Clock()) as opened:
        yield opened


def shown(store, kind: Kind, **settings):
    asked, about = question(kind, ["one text", "other text", "third text"][: NUM_PASSAGES.get(kind, 1)], **settings)
    store.submit([asked], about)
    queue = Queue(store, mixing=NO_TESTS)
    showing = queue.next_for(store.enrol("rater-1"), Interface.WEB)
    assert showing is not None
    return queue, showing


def says(*heard: Heard):
    """Return what hears these, one after the other."""
    words = iter(heard)
    return lambda audio, commands=None: next(words)


SAID = [
    (Kind.RATE, "four", Outcome.ANSWERED, {"step": 4}),
    (Kind.RATE, "Rating 4.", Outcome.ANSWERED, {"step": 4}),
    (Kind.RATE, "very good", Outcome.ANSWERED, {"step": 5}),
    (Kind.RATE, "Bad", Outcome.ANSWERED, {"step": 2}),
    (Kind.RATE, "I cannot say", Outcome.ABSTAIN, {}),
    (Kind.BINARY, "thumbs up", Outcome.ANSWERED, {"good": True}),
    (Kind.BINARY, "no", Outcome.ANSWERED, {"good": False}),
    (Kind.COMPARE, "they are equal", Outcome.TIE, {}),
    (Kind.COMPARE, "both bad", Outcome.ALL_BAD, {}),
    (Kind.COMPARE, "skip", Outcome.SKIP, {}),
    (Kind.COMPARE, "the first is better", Outcome.ANSWERED, 0),
    (Kind.COMPARE, "B is better", Outcome.ANSWERED, 1),
]


@pytest.mark.parametrize(("kind", "words", "outcome", "payload"), SAID)
def test_a_phrase_is_the_answer_that_it_says(store, kind, words, outcome, payload):
    _, showing = shown(store, kind)
    if isinstance(payload, int):
        payload = {"groups": [[showing.lease.order[payload]], [showing.lease.order[1 - payload]]]}
    reply = understand(Heard(words, 0.99), showing)
    assert reply is not None
    assert (reply.outcome, reply.payload, reply.confidence) == (outcome, payload, 0.99)


@pytest.mark.parametrize("seed", range(8))
def test_first_is_what_stood_first_on_the_screen_whatever_the_questions_order(store, seed):
    _, showing = shown(store, Kind.COMPARE, ticket=str(seed))
    reply = understand(Heard("first", 0.99), showing)
    assert reply is not None
    assert reply.payload["groups"][0] == [showing.passages[0].id]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.COMPARE, "very good"),
        (Kind.COMPARE, "four"),
        (Kind.COMPARE, "not equal"),
        (Kind.COMPARE, "first second"),
        (Kind.RATE, "equal"),
        (Kind.RATE, "six"),
        (Kind.RATE, "not good"),
        (Kind.BINARY, "very good indeed"),
        (Kind.RATE, ""),
        (Kind.RATE, "undo"),
        (Kind.RANK, "first"),
        (Kind.SPAN, "good"),
    ],
)
def test_what_is_no_answer_to_the_question_is_none(store, kind, words):
    _, showing = shown(store, kind)
    assert understand(Heard(words, 1.0), showing) is None


def test_what_was_hardly_heard_is_no_answer(store):
    _, showing = shown(store, Kind.RATE)
    assert understand(Heard("four", 0.7999), showing, least_confidence=0.8) is None
    assert understand(Heard("four", 0.8), showing, least_confidence=0.8) is not None


def test_an_outcome_that_the_question_does_not_offer_cannot_be_said():
    commands = commands_for(Question(Kind.COMPARE, ("x", "y"), allows=("abstain",)))
    assert commands is not None
    assert set(commands.phrases) == {"a", "b", "abstain", "undo"}


@pytest.mark.parametrize("low, high", [(1, 5), (0, 10), (-3, 3), (0, 100)])
def test_every_step_of_a_scale_can_be_said_and_means_itself(low, high):
    commands = commands_for(Question(Kind.RATE, ("x",), scale=Scale(low, high, ())))
    assert commands is not None
    for step in range(low, high + 1):
        assert commands.meaning(normal(str(step))) == str(step)
        assert commands.meaning(f"rating {step}") == str(step)


def test_a_word_of_two_steps_means_neither_and_a_number_means_its_step():
    scale = Scale(1, 3, ("good", "three", "good"))
    commands = commands_for(Question(Kind.RATE, ("x",), scale=scale))
    assert commands is not None
    assert commands.meaning("good") is None
    assert commands.meaning("three") == "3"


def test_commands_in_which_a_phrase_has_two_meanings_are_refused():
    with pytest.raises(ValueError, match="several"):
        Commands({"a": ("same",), "b": ("same",)})
    with pytest.raises(ValueError, match="lower case"):
        Commands({"a": ("Loud!",)})


# On its way.


def spoken(store, tmp_path, kind: Kind, *heard: Heard, **settings):
    queue, showing = shown(store, kind)
    artefacts = Artefacts(tmp_path / "study.db.files")
    return queue, SpokenAnswer(showing, says(*heard), artefacts, **settings), artefacts


def test_a_spoken_answer_is_said_back_confirmed_kept_and_stored_as_speech(store, tmp_path):
    queue, answer, artefacts = spoken(store, tmp_path, Kind.RATE, Heard("very good", 0.97))
    assert answer.hear(SOUND) is Stage.ECHOED
    assert answer.echo == "rating 5, very good"
    assert not queue.history(store.enrol("rater-1"))
    answer.confirm()
    stored = answer.store(queue, store.enrol("rater-1"), "key-1")
    assert (stored.payload, stored.confidence) == ({"step": 5}, 0.97)
    assert artefacts.read(stored.artefact) == SOUND
    lease = store.record(Lease, stored.lease)
    assert lease.interface is Interface.SPEECH
    assert lease.order == answer.showing.lease.order
    assert answer.store(queue, store.enrol("rater-1"), "key-1") == stored  # sent twice
    assert len(queue.history(store.enrol("rater-1"))) == 1


def test_nothing_is_stored_before_it_is_confirmed_or_after_it_was_not(store, tmp_path):
    queue, answer, _ = spoken(store, tmp_path, Kind.RATE, Heard("four", 0.99), Heard("five", 0.99))
    with pytest.raises(RecordError, match="listening"):
        answer.store(queue, store.enrol("rater-1"), "key")
    answer.hear(SOUND)
    with pytest.raises(RecordError, match="echoed"):
        answer.store(queue, store.enrol("rater-1"), "key")
    assert answer.repeat() is Stage.LISTENING
    assert answer.echo == ""
    answer.hear(SOUND)
    answer.give_up()
    for act in (answer.confirm, answer.repeat, answer.reply, lambda: answer.hear(SOUND)):
        with pytest.raises(RecordError, match="given up"):
            act()
    assert not queue.history(store.enrol("rater-1"))


def test_it_is_given_up_after_so_many_recordings_that_were_not_understood_and_they_are_kept(store, tmp_path):
    _, answer, artefacts = spoken(store, tmp_path, Kind.COMPARE, *[Heard("very good", 0.99)] * 3)
    assert [answer.hear(SOUND) for _ in range(3)] == [Stage.LISTENING, Stage.LISTENING, Stage.GIVEN_UP]
    assert len(list(artefacts.folder.iterdir())) == 1


def test_silence_is_an_error_that_counts_as_a_try_and_is_not_kept(store, tmp_path):
    _, answer, artefacts = spoken(store, tmp_path, Kind.RATE, most_tries=1)
    with pytest.raises(RecordingError, match="silent"):
        answer.hear(write_wav(Recording(np.zeros(RATE, np.int16))))
    assert answer.stage is Stage.GIVEN_UP
    assert not artefacts.folder.exists()


@pytest.mark.parametrize(
    ("heard", "stage"),
    [
        (Heard("yes", 0.99), Stage.CONFIRMED),
        (Heard("no", 0.99), Stage.LISTENING),
        (Heard("yes", 0.3), Stage.ECHOED),
        (Heard("four", 0.99), Stage.ECHOED),
        (Heard("", 0.0), Stage.ECHOED),
    ],
)
def test_only_a_clear_yes_confirms(store, tmp_path, heard, stage):
    _, answer, _ = spoken(store, tmp_path, Kind.RATE, Heard("four", 0.99), heard)
    answer.hear(SOUND)
    assert answer.hear_confirmation(Recording(np.ones(RATE, np.int16))) is stage


def test_undo_is_said_back_and_is_no_answer(store, tmp_path):
    queue, answer, _ = spoken(store, tmp_path, Kind.RATE, Heard("undo", 0.99))
    assert answer.hear(SOUND) is Stage.ECHOED
    assert answer.is_undo
    assert answer.echo == "take the last answer back"
    answer.confirm()
    with pytest.raises(RecordError, match="undo"):
        answer.store(queue, store.enrol("rater-1"), "key")
    assert not is_undo(Heard("undo", 0.1), answer.showing)


def test_a_recording_that_cannot_be_kept_gives_no_answer(store, tmp_path):
    _, showing = shown(store, Kind.RATE)
    answer = SpokenAnswer(showing, says(Heard("four", 0.99)), Artefacts(tmp_path / "files", most_kept=10))
    with pytest.raises(ValueError, match="full"):
        answer.hear(SOUND)
    assert answer.stage is Stage.LISTENING


def test_free_speech_is_a_critique_and_its_words_are_echoed_whole(store):
    _, showing = shown(store, Kind.CRITIQUE)
    found = Understood.of(Heard("It is too long, and ends badly.", None), showing)
    assert found.echo == "It is too long, and ends badly."
    assert found.reply is not None
    assert (found.reply.payload, found.reply.confidence) == ({"text": found.echo}, None)


def test_a_question_about_one_passage_is_about_that_passage(store):
    passage = Passage("prompt", "text")
    assert commands_for(Question(Kind.SPAN, (passage.id,))) is None
    assert commands_for(Question(Kind.CORRECT, (passage.id,))) is None
