"""Speak at the page, over its requests: what is refused, that nothing is stored before it is confirmed, and what is kept then."""

from __future__ import annotations

import base64
import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

from feedback.page.hearing import Hearing, make_hearing
from feedback.page.sealing import Seal
from feedback.page.serving import serve
from feedback.speech.artefacts import Artefacts
from feedback.speech.recogniser import Heard
from feedback.speech.recording import RATE, Recording, write_wav
from feedback.speech.speech_synthesis import can_speak, say
from feedback.study.records import Interface, Kind, Lease, Outcome
from tests.page_study import ADDRESS, Visitor, answers, desk, one_of_each

SOUND = write_wav(Recording(np.random.default_rng(0).integers(-9000, 9000, RATE).astype(np.int16)))
JSON = {"Accept": "application/json", "Origin": ADDRESS}


class Says:
    """Hear what the test says next."""

    def __init__(self) -> None:
        self.next = Heard("", 0.0)

    def __call__(self, audio, commands=None):
        return self.next


@pytest.fixture
def says():
    return Says()


@pytest.fixture
def study(tmp_path, says):
    made = desk(tmp_path / "study.db")
    made = replace(made, hearing=Hearing(says, Seal(Artefacts(tmp_path / "study.db.files")), free=says))
    made.store.submit(*one_of_each())
    with made.store:
        yield made


def speak(visitor: Visitor, data: bytes = SOUND, fields: dict[str, str] | None = None, **headers: str):
    given = visitor.fields() if fields is None else fields
    return visitor.client.post("/speech", data=given, files={"recording": ("recording.wav", data)}, headers=JSON | headers)


def confirm(visitor: Visitor, word: str, **more: str):
    return visitor.post("/answer", visitor.fields(choice="spoken", spoken=word, seconds="2.5", **more), **JSON)


def at(study, kind: Kind, name: str = "rater-1") -> Visitor:
    """Return a visitor before the first question of a kind."""
    visitor = Visitor(study, name)
    visitor.get()
    for _ in Kind:
        if ("data-kind", str(kind)) in visitor.page.attributes:
            return visitor
        visitor.send("/answer", ("choice", "abstain"))
    raise AssertionError(kind)


# The flow.


def test_a_spoken_answer_is_stored_only_once_it_is_confirmed_with_its_recording(study, says):
    visitor, says.next = at(study, Kind.RATE), Heard("rating four", 0.97, (("rating five", 0.02),))
    said = len(answers(study.store))
    verdict = speak(visitor).json()
    assert (verdict["heard"], verdict["confidence"], verdict["echo"], verdict["is_undo"]) == ("rating four", 0.97, "rating 4, good", False)
    assert len(answers(study.store)) == said
    assert confirm(visitor, verdict["spoken"], comment="a word").json()["saved"]
    stored = answers(study.store)[-1]
    assert (stored.payload, stored.confidence, stored.seconds, stored.comment) == ({"step": 4}, 0.97, 2.5, "a word")
    assert study.hearing.seal.artefacts.read(stored.artefact) == SOUND
    assert study.store.record(Lease, stored.lease).interface is Interface.SPEECH
    assert confirm(visitor, verdict["spoken"], comment="a word").json()["answer"] == stored.id  # sent again, stored once
    assert len(answers(study.store)) == said + 1


@pytest.mark.parametrize(
    ("kind", "words", "outcome", "payload"),
    [
        (Kind.BINARY, "thumbs down", Outcome.ANSWERED, {"good": False}),
        (Kind.RATE, "i cannot say", Outcome.ABSTAIN, {}),
        (Kind.COMPARE, "they are equal", Outcome.TIE, {}),
        (Kind.COMPARE, "both bad", Outcome.ALL_BAD, {}),
        (Kind.COMPARE, "skip", Outcome.SKIP, {}),
        (Kind.CRITIQUE, "It is too long.", Outcome.ANSWERED, {"text": "It is too long."}),
    ],
)
def test_every_kind_that_can_be_spoken_takes_what_was_said(study, says, kind, words, outcome, payload):
    visitor, says.next = at(study, kind), Heard(words, 0.99)
    confirm(visitor, speak(visitor).json()["spoken"])
    stored = answers(study.store)[-1]
    assert (stored.outcome, stored.payload) == (outcome, payload)


@pytest.mark.parametrize("words, letter", [("first is better", 0), ("the second", 1)])
def test_the_first_is_what_stands_first_on_the_screen(study, says, words, letter):
    visitor, says.next = at(study, Kind.COMPARE), Heard(words, 0.99)
    showing = study.queue.show(study.store.enrol("rater-1"), visitor.fields()["lease"])
    confirm(visitor, speak(visitor).json()["spoken"])
    stored = answers(study.store)[-1]
    assert stored.payload["groups"][0] == [showing.passages[letter].id]
    assert study.store.record(Lease, stored.lease).order == showing.lease.order


@pytest.mark.parametrize("heard", [Heard("very good", 1.0), Heard("they are equal", 0.2), Heard("", 0.0)])
def test_what_is_not_understood_cannot_be_confirmed_and_is_kept_as_a_recording(study, says, heard):
    visitor, says.next = at(study, Kind.COMPARE), heard
    verdict = speak(visitor).json()
    assert (verdict["spoken"], verdict["echo"]) == ("", "")
    said = len(answers(study.store))
    assert confirm(visitor, verdict["spoken"]).status_code == 422
    assert len(answers(study.store)) == said
    assert len(list(study.hearing.seal.artefacts.folder.iterdir())) == 1


def test_undo_is_understood_and_stores_nothing(study, says):
    visitor, says.next = at(study, Kind.RATE), Heard("undo", 0.99)
    verdict = speak(visitor).json()
    assert (verdict["is_undo"], verdict["spoken"]) == (True, "")


# What is refused.


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 422, "empty"),
        (b"\x1aE\xdf\xa3 webm", 422, "no WAV file"),
        (SOUND[:-3], 422, "cut off"),
        (write_wav(Recording(np.zeros(RATE, np.int16))), 422, "silent"),
        (bytes(10_000_000), 413, "say it shorter"),
        (SOUND + bytes(17_000_000), 413, "say it shorter"),
    ],
    ids=["empty", "webm", "cut-off", "silent", "10-MB", "17-MB"],
)
def test_a_recording_that_cannot_be_heard_is_refused_and_not_kept(study, says, data, status, words):
    visitor, says.next = at(study, Kind.RATE), Heard("four", 0.99)
    response = speak(visitor, data)
    assert response.status_code == status
    assert words in response.json()["error"]
    assert not study.hearing.seal.artefacts.folder.exists()
    assert visitor.get("/").status_code == 200


def test_a_form_without_a_recording_or_with_two_is_refused(study):
    visitor = at(study, Kind.RATE)
    assert visitor.post("/speech", visitor.fields(), **JSON).status_code == 422
    two = [("recording", ("a.wav", SOUND)), ("recording", ("b.wav", SOUND))]
    assert visitor.client.post("/speech", data=visitor.fields(), files=two, headers=JSON).status_code == 400
    assert not study.hearing.seal.artefacts.folder.exists()


def test_nobody_speaks_without_a_session_from_elsewhere_or_without_the_sessions_word(study):
    visitor = at(study, Kind.RATE)
    stranger = Visitor(study, None)
    assert speak(stranger, fields=visitor.fields()).status_code == 401
    assert speak(visitor, fields=visitor.fields() | {"csrf": "wrong"}).status_code == 403
    assert speak(visitor, fields={name: value for name, value in visitor.fields().items() if name != "csrf"}).status_code == 403
    assert speak(visitor, Origin="https://evil.example").status_code == 403
    assert speak(visitor, fields=visitor.fields() | {"lease": "nowhere"}).status_code == 404
    assert not study.hearing.seal.artefacts.folder.exists()


def test_nobody_speaks_to_anothers_question_or_sends_what_another_said(study, says):
    one, other, says.next = at(study, Kind.BINARY, "one"), at(study, Kind.RATE, "other"), Heard("good", 0.99)
    assert speak(other, fields=other.fields() | {"lease": one.fields()["lease"]}).status_code == 403
    word = speak(one).json()["spoken"]
    said = len(answers(study.store))
    response = confirm(other, word)
    assert response.status_code == 422
    assert "another question" in response.json()["error"]
    assert len(answers(study.store)) == said


def test_what_was_heard_cannot_be_changed_on_the_way(study, says):
    visitor, says.next = at(study, Kind.RATE), Heard("four", 0.95)
    body, mark = speak(visitor).json()["spoken"].split(".")
    said = json.loads(base64.urlsafe_b64decode(body))
    assert said["confidence"] == 0.95
    forged = base64.urlsafe_b64encode(json.dumps(said | {"confidence": 1.0}).encode()).decode()
    for word in (f"{forged}.{mark}", f"{body}.", body, "", "ü.ü", f"{body}.{mark}.x"):
        assert confirm(visitor, word).status_code == 422, word
    assert not [answer for answer in answers(study.store) if answer.payload]
    assert confirm(visitor, f"{body}.{mark}").json()["saved"]


def test_an_answer_whose_recording_is_gone_is_not_stored(study, says):
    visitor, says.next = at(study, Kind.RATE), Heard("four", 0.95)
    word = speak(visitor).json()["spoken"]
    for file in study.hearing.seal.artefacts.folder.iterdir():
        file.unlink()
    assert "gone" in confirm(visitor, word).json()["error"]


@pytest.mark.parametrize("kind", [Kind.RANK, Kind.SPAN, Kind.CORRECT])
def test_a_kind_whose_answer_cannot_be_spoken_has_no_button_and_takes_no_recording(study, kind):
    visitor = at(study, kind)
    assert ("id", "speech") not in visitor.page.attributes
    assert "cannot be spoken" in speak(visitor).json()["error"]


def test_a_critique_is_spoken_only_where_a_model_hears_it(study, says):
    assert ("id", "speech") in at(study, Kind.CRITIQUE).page.attributes
    without = replace(study, hearing=replace(study.hearing, free=None))
    visitor = at(without, Kind.CRITIQUE)
    assert ("id", "speech") not in visitor.page.attributes
    assert speak(visitor).status_code == 422


def test_others_are_asked_to_wait_while_too_many_speak(study, says):
    visitor = at(study, Kind.RATE)
    while study.hearing.places.acquire(blocking=False):
        pass
    response = speak(visitor)
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    study.hearing.places.release()
    assert speak(visitor).status_code == 200
    assert speak(visitor).status_code == 200  # the place was given back


# Whether the page takes speech at all.


def test_the_microphone_is_allowed_only_where_answers_are_spoken(study):
    silent = replace(study, hearing=None)
    for made, allowed in ((study, "microphone=(self)"), (silent, "microphone=()")):
        visitor = Visitor(made, f"rater-{allowed}")
        for path in ("/", "/help"):
            headers = visitor.get(path).headers
            assert allowed in headers["permissions-policy"]
            assert "script-src 'self'" in headers["content-security-policy"]
            assert any("speech.js" in value for _, value in visitor.page.attributes) == (made is study)


def test_without_speech_no_recording_is_taken_and_nothing_can_be_confirmed(study, says):
    spoken, says.next = at(study, Kind.RATE), Heard("four", 0.99)
    word = speak(spoken).json()["spoken"]
    visitor = Visitor(replace(study, hearing=None), "rater-2")
    visitor.get()
    assert ("id", "speech") not in visitor.page.attributes
    assert speak(visitor).status_code == 400  # no file is taken
    assert visitor.post("/speech", visitor.fields(), **JSON).status_code == 404
    assert "not taken here" in confirm(visitor, word).json()["error"]


def test_no_other_address_takes_a_file(study):
    visitor = at(study, Kind.RATE)
    response = visitor.client.post("/answer", data=visitor.fields(choice="4"), files={"recording": ("a.wav", SOUND)}, headers=JSON)
    assert response.status_code == 400


@pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="pocketsphinx, which hears commands, is not installed")
@pytest.mark.skipif(not can_speak(), reason="espeak-ng, which says the commands, is not installed")
def test_synthetic_speech_becomes_an_answer(tmp_path):
    made = desk(tmp_path / "study.db")
    made = replace(made, hearing=make_hearing(tmp_path / "study.db"))
    made.store.submit(*one_of_each(kinds=(Kind.RATE, Kind.COMPARE)))
    with made.store:
        visitor = at(made, Kind.RATE)
        confirm(visitor, speak(visitor, write_wav(say("rating four"))).json()["spoken"])
        visitor.get()
        assert speak(visitor, write_wav(say("the weather is nice today"))).json()["spoken"] == ""
        confirm(visitor, speak(visitor, write_wav(say("they are equal"))).json()["spoken"])
        assert [(answer.outcome, answer.payload) for answer in answers(made.store)] == [(Outcome.ANSWERED, {"step": 4}), (Outcome.TIE, {})]
        assert all(answer.confidence >= made.hearing.least_confidence for answer in answers(made.store))


def test_a_model_for_critiques_without_speech_is_refused(tmp_path):
    with pytest.raises(ValueError, match="give --speech too"):
        serve(str(tmp_path / "study.db"), speech_model="some/model")


def test_a_study_in_a_database_server_has_no_folder_for_recordings():
    with pytest.raises(ValueError, match="use a study in a file"):
        make_hearing("postgresql://host/name")


def test_without_pocketsphinx_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("feedback.speech.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "textgen-gym\[speech\]"'):
        make_hearing("study.db")
