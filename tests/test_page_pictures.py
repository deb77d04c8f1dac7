"""React at the page by a picture or an emoji, over its requests: what is refused, and that nothing is stored before it is confirmed."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from feedback.page.hearing import Hearing
from feedback.page.sealing import Seal
from feedback.page.serving import serve
from feedback.page.sight import Sight, check_labels, make_sight
from feedback.pictures.reaction import ModelClassifier, Polarity, Seen
from feedback.speech.artefacts import Artefacts
from feedback.speech.recogniser import Heard
from feedback.study.records import Interface, Kind, Lease, Outcome
from tests.page_study import ADDRESS, Visitor, answers, desk, one_of_each, question
from tests.tiny_classifier import make_classifier, plain

Image = pytest.importorskip("PIL.Image", reason="pillow, which reads pictures, is not installed")
JSON = {"Accept": "application/json", "Origin": ADDRESS}
TABLE = Polarity(frozenset({"happy", "👍", "❤️"}), frozenset({"sad", "👎"}))
HAPPY, SAD, UNCLEAR = (("happy", 0.93), ("sad", 0.07)), (("sad", 0.9), ("happy", 0.1)), (("happy", 0.6), ("sad", 0.4))


class Sees:
    """See what the test shows next."""

    def __init__(self) -> None:
        self.next = HAPPY

    def __call__(self, picture):
        return Seen(self.next)


@pytest.fixture
def sees():
    return Sees()


@pytest.fixture
def study(tmp_path, sees):
    made = replace(desk(tmp_path / "study.db"), sight=make_sight(tmp_path / "study.db", TABLE, classifier=sees))
    made.store.submit(*one_of_each(wanted=3))
    second, about = question(Kind.BINARY, ["Another text."], wanted=3, most=3, priority=200)
    made.store.submit([second], about)
    with made.store:
        yield made


def send(visitor: Visitor, data: bytes | None = None, fields: dict[str, str] | None = None, **headers: str):
    files = {"picture": ("me.png", plain(250) if data is None else data)}
    return visitor.client.post("/picture", data=visitor.fields() if fields is None else fields, files=files, headers=JSON | headers)


def confirm(visitor: Visitor, word: str, **more: str):
    return visitor.post("/answer", visitor.fields(choice="seen", seen=word, seconds="2.5", **more), **JSON)


def at(study, kind: Kind = Kind.BINARY, name: str = "rater-1") -> Visitor:
    """Return a visitor before the first question of a kind."""
    visitor = Visitor(study, name)
    visitor.get()
    for _ in range(len(Kind) + 1):
        if ("data-kind", str(kind)) in visitor.page.attributes:
            return visitor
        visitor.send("/answer", ("choice", "abstain"))
    raise AssertionError(kind)


# The flow.


def test_a_reaction_is_stored_only_once_it_is_confirmed_with_its_picture(study):
    visitor = at(study)
    verdict = send(visitor).json()
    assert (verdict["echo"], verdict["confidence"], verdict["seen"][0]) == ("good", 0.93, {"label": "happy", "share": 0.93})
    assert not answers(study.store)
    assert confirm(visitor, verdict["seen_word"], comment="a word").json()["saved"]
    (stored,) = answers(study.store)
    assert (stored.outcome, stored.payload, stored.confidence, stored.seconds) == (Outcome.ANSWERED, {"good": True}, 0.93, 2.5)
    assert stored.comment == "a word"
    assert study.sight.seal.artefacts.read(stored.artefact) == plain(250)
    lease = study.store.record(Lease, stored.lease)
    assert lease.interface is Interface.PICTURE
    assert confirm(visitor, verdict["seen_word"], comment="a word").json()["answer"] == stored.id  # sent again, stored once
    assert len(answers(study.store)) == 1


def test_a_word_is_not_taken_for_the_next_question(study):
    visitor = at(study)
    word = send(visitor).json()["seen_word"]
    assert confirm(visitor, word).status_code == 200
    visitor.get()
    response = confirm(visitor, word)
    assert response.status_code == 422
    assert "another question" in response.json()["error"]
    assert len(answers(study.store)) == 1


@pytest.mark.parametrize("labels", [UNCLEAR, (("surprised", 0.99), ("happy", 0.01)), ()])
def test_what_is_unclear_or_in_no_table_cannot_be_confirmed_and_is_kept(study, sees, labels):
    visitor, sees.next = at(study), labels
    verdict = send(visitor).json()
    assert (verdict["seen_word"], verdict["echo"], verdict["confidence"]) == ("", "", None)
    assert confirm(visitor, verdict["seen_word"]).status_code == 422
    assert not answers(study.store)
    assert len(list(study.sight.seal.artefacts.folder.iterdir())) == 1


def test_a_model_sees_what_is_on_the_picture(tmp_path):
    make_classifier(tmp_path / "model")
    made = desk(tmp_path / "study.db")
    made = replace(made, sight=make_sight(tmp_path / "study.db", TABLE, str(tmp_path / "model")))
    made.store.submit(*one_of_each(kinds=(Kind.BINARY,)))
    with made.store:
        visitor = at(made)
        verdict = send(visitor, plain(127)).json()
        assert (verdict["seen_word"], verdict["seen"][0]["label"]) == ("", "surprised")
        assert send(visitor, plain(5, "JPEG")).json()["echo"] == "bad"
        verdict = send(visitor, plain(250)).json()
        assert confirm(visitor, verdict["seen_word"]).json()["saved"]
        assert answers(made.store)[0].payload == {"good": True}


# Emoji.


@pytest.mark.parametrize(("emoji", "good"), [("👍", True), ("❤️", True), ("👎", False)])
def test_an_emoji_of_the_table_is_a_button_that_needs_no_script(study, emoji, good):
    visitor = at(study)
    visitor.send("/answer", ("choice", f"emoji:{emoji}"))
    (stored,) = answers(study.store)
    assert (stored.payload, stored.confidence, stored.artefact) == ({"good": good}, None, "")
    assert study.store.record(Lease, stored.lease).interface is Interface.PICTURE


@pytest.mark.parametrize("choice", ["emoji:🤷", "emoji:", "emoji:happy", "emoji:<b>", "emoji:" + "👍" * 9000])
def test_another_emoji_is_refused_with_those_that_are_taken(study, choice):
    visitor = at(study)
    response = visitor.post("/answer", visitor.fields(choice=choice), **JSON)
    assert response.status_code == 422
    assert "one of ❤️ 👍 👎" in response.json()["error"]
    assert not answers(study.store)


def test_an_emoji_does_not_answer_a_rating(study):
    visitor = at(study, Kind.RATE)
    said = len(answers(study.store))
    response = visitor.post("/answer", visitor.fields(choice="emoji:👍"), **JSON)
    assert response.status_code == 422
    assert "an emoji does not answer a rate question" in response.json()["error"].lower()
    assert len(answers(study.store)) == said


def test_emoji_without_a_model_are_buttons_and_no_picture_is_taken(study):
    made = replace(study, sight=make_sight("study.db", Polarity(frozenset({"👍"}), frozenset({"👎"}))))
    visitor = at(made, name="rater-2")
    assert ("value", "emoji:👍") in visitor.page.attributes
    assert ("id", "picture") not in visitor.page.attributes
    assert send(visitor).status_code == 400  # no file is taken
    visitor.send("/answer", ("choice", "emoji:👎"))
    assert answers(made.store)[-1].payload == {"good": False}


# What is refused.


def bomb(width: int, height: int) -> bytes:
    """Return a small file of many pixels."""
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 422, "empty"),
        (plain(9, "GIF"), 422, "send a PNG or JPEG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', 422, "send a PNG or JPEG"),
        (plain(9)[:-30], 422, "cannot be read"),
        (plain(9, "JPEG")[:200], 422, "cannot be read"),
        (bomb(5000, 4000), 422, "at most 16000000 pixels, got 5000 x 4000"),
        (bomb(20_000, 10_000), 422, "pixels"),
        (bytes(2_000_001), 422, "at most 2000000 bytes"),
        (bytes(10_000_000), 413, "send a smaller one"),
        (bytes(17_000_000), 413, "send a smaller one"),
    ],
    ids=["empty", "gif", "svg", "cut-off-png", "cut-off-jpeg", "bomb", "larger-bomb", "2-MB", "10-MB", "17-MB"],
)
def test_what_is_no_picture_is_refused_with_the_reason_and_not_kept(study, data, status, words):
    visitor = at(study)
    response = send(visitor, data)
    assert response.status_code == status
    assert words in response.json()["error"]
    assert not study.sight.seal.artefacts.folder.exists()
    assert visitor.get("/").status_code == 200


def test_a_form_without_a_picture_or_with_two_is_refused(study):
    visitor = at(study)
    assert visitor.post("/picture", visitor.fields(), **JSON).status_code == 422
    two = [("picture", ("a.png", plain(9))), ("picture", ("b.png", plain(9)))]
    assert visitor.client.post("/picture", data=visitor.fields(), files=two, headers=JSON).status_code == 400
    assert not study.sight.seal.artefacts.folder.exists()


def test_nobody_sends_a_picture_without_a_session_from_elsewhere_or_without_the_sessions_word(study):
    visitor = at(study)
    assert send(Visitor(study, None), fields=visitor.fields()).status_code == 401
    assert send(visitor, fields=visitor.fields() | {"csrf": "wrong"}).status_code == 403
    assert send(visitor, Origin="https://evil.example").status_code == 403
    assert send(visitor, fields=visitor.fields() | {"lease": "nowhere"}).status_code == 404
    assert not study.sight.seal.artefacts.folder.exists()


def test_nobody_reacts_to_anothers_question_or_sends_what_was_seen_of_another(study):
    one, other = at(study, name="one"), at(study, name="other")
    assert send(other, fields=other.fields() | {"lease": one.fields()["lease"]}).status_code == 403
    word = send(one).json()["seen_word"]
    response = confirm(other, word)
    assert (response.status_code, len(answers(study.store))) == (422, 0)
    assert "another question" in response.json()["error"]
    assert other.post("/answer", one.fields(choice="seen", seen=word) | {"csrf": other.fields()["csrf"]}, **JSON).status_code == 403


def test_what_was_seen_cannot_be_changed_nor_confirmed_as_something_that_was_heard(study, tmp_path):
    hearing = Hearing(lambda audio, commands=None: Heard("", 0.0), Seal(Artefacts(tmp_path / "study.db.files")))
    visitor = at(replace(study, hearing=hearing))
    body, mark = send(visitor).json()["seen_word"].split(".")
    for word in (f"{body[:-4]}AAAA.{mark}", f"{body}.", body, "", "ü.ü", f"{body}.{mark}.x"):
        assert confirm(visitor, word).status_code == 422, word
    spoken = visitor.post("/answer", visitor.fields(choice="spoken", spoken=f"{body}.{mark}"), **JSON)
    assert spoken.status_code == 422
    assert not answers(study.store)
    assert confirm(visitor, f"{body}.{mark}").json()["saved"]


def test_words_of_one_secret_outlive_a_restart_and_each_purpose_has_its_own(tmp_path):
    kept = Artefacts(tmp_path / "files")
    assert Seal.of(kept, b"s" * 32, "pictures") == Seal.of(kept, b"s" * 32, "pictures")
    assert Seal.of(kept, b"s" * 32, "pictures") != Seal.of(kept, b"s" * 32, "speech")
    assert Seal.of(kept, b"", "pictures") != Seal.of(kept, b"", "pictures")


def test_an_answer_whose_picture_is_gone_is_not_stored(study):
    visitor = at(study)
    word = send(visitor).json()["seen_word"]
    for file in study.sight.seal.artefacts.folder.iterdir():
        file.unlink()
    assert "gone" in confirm(visitor, word).json()["error"]
    assert not answers(study.store)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.BINARY])
def test_only_good_or_bad_is_asked_for_by_pictures(study, kind):
    visitor = at(study, kind)
    assert ("id", "picture") not in visitor.page.attributes
    assert not any("emoji:" in value for _, value in visitor.page.attributes)
    assert "cannot be given by a picture" in send(visitor).json()["error"]


def test_others_are_asked_to_wait_while_too_many_send_pictures(study):
    visitor = at(study)
    while study.sight.places.acquire(blocking=False):
        pass
    response = send(visitor)
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    study.sight.places.release()
    assert [send(visitor).status_code for _ in range(2)] == [200, 200]  # the place was given back


def test_without_reactions_there_is_no_control_and_nothing_is_taken(study):
    word = send(at(study)).json()["seen_word"]
    visitor = at(replace(study, sight=None), name="rater-2")
    assert not any("picture" in value or "emoji" in value for _, value in visitor.page.attributes)
    assert send(visitor).status_code == 400  # no file is taken
    assert visitor.post("/picture", visitor.fields(), **JSON).status_code == 404
    assert "not taken here" in confirm(visitor, word).json()["error"]
    assert visitor.post("/answer", visitor.fields(choice="emoji:👍"), **JSON).status_code == 422
    assert not answers(study.store)


# What may be asked for.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"picture_good": ("👍",)}, "both sides"),
        ({"pictures": "model"}, "both sides"),
        ({"picture_confidence": 0.9}, "name it by --pictures"),
        ({"picture_good": ("👍",), "picture_bad": ("👎",), "picture_confidence": 0.9}, "name a model by --pictures"),
        ({"picture_good": ("happy",), "picture_bad": ("👎",)}, "'happy' is neither an emoji nor a label"),
        ({"picture_good": ("👍",), "picture_bad": ("👍",)}, "labels of their own"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        serve(str(tmp_path / "study.db"), **options)
    assert not (tmp_path / "study.db").exists()


def test_a_label_that_the_model_does_not_know_is_named_with_those_that_it_does():
    known = ["happy", "sad"]
    with pytest.raises(ValueError, match=r"--picture-good 'hapy' is neither.*the model sees happy, sad"):
        check_labels(Polarity(frozenset({"hapy"}), frozenset({"sad"})), known)
    with pytest.raises(ValueError, match="--picture-bad needs at least one label of the model, got 👎"):
        check_labels(Polarity(frozenset({"happy"}), frozenset({"👎"})), known)
    check_labels(TABLE, known)


def test_without_pillow_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("feedback.pictures.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "textgen-gym\[pictures\]"'):
        make_sight("study.db", TABLE, "some/model")


def test_a_model_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        ModelClassifier(str(tmp_path / "nowhere"))


def test_a_study_in_a_database_server_has_no_folder_for_pictures(sees):
    with pytest.raises(ValueError, match="use a study in a file"):
        make_sight("postgresql://host/name", TABLE, classifier=sees)
    assert not Sight(TABLE).takes_pictures
