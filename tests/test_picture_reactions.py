"""Take pictures and emoji as reactions: by the owner's table, confirmed, with the picture kept."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest

from feedback.pictures.reaction import ModelClassifier, PictureAnswer, PictureError, Polarity, Seen, read_picture
from feedback.speech.artefacts import Artefacts
from feedback.study.queueing import Queue
from feedback.study.records import Interface, Kind, Lease, RecordError
from feedback.study.store import Store
from tests.page_study import NO_TESTS, Clock, question
from tests.tiny_classifier import make_classifier, plain

Image = pytest.importorskip("PIL.Image", reason="pillow, which reads pictures, is not installed")
TABLE = Polarity.of({"happy": True, "amused": True, "sad": False, "👍": True, "👎": False, "❤️": True})


def picture(kind: str = "PNG", size: tuple[int, int] = (24, 24)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("labels", "good", "confidence"),
    [
        ((("happy", 0.5), ("amused", 0.4), ("sad", 0.1)), True, 0.9),
        ((("sad", 0.95), ("happy", 0.05)), False, 0.95),
        ((("happy", 0.6), ("sad", 0.4)), None, None),
        ((("surprised", 0.99), ("happy", 0.01)), None, None),
        ((), None, None),
    ],
)
def test_a_side_is_an_answer_only_where_it_is_clear_and_in_the_table(labels, good, confidence):
    reply = TABLE.reply(Seen(labels))
    assert (None if reply is None else reply.payload["good"]) is good
    assert (None if reply is None else reply.confidence) == (None if confidence is None else pytest.approx(confidence))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("👍", True),
        (" 👎 ", False),
        ("❤", True),
        ("❤️", True),
        ("👍🏽", True),
        ("👎🏿", False),
        ("👍👎", None),
        ("happy", True),
        ("", None),
        ("🤷", None),
    ],
)
def test_an_emoji_of_the_table_is_what_it_says_and_any_other_is_nothing(text, good):
    reply = TABLE.reply_to_emoji(text)
    assert (None if reply is None else reply.payload["good"]) is good


def test_a_table_with_a_label_on_both_sides_or_one_empty_side_is_refused():
    with pytest.raises(ValueError, match="labels of their own"):
        Polarity(frozenset({"x"}), frozenset({"x"}))
    with pytest.raises(ValueError, match="labels of their own"):
        Polarity.of({"x": True})
    with pytest.raises(ValueError, match=r"above 0\.5"):
        Polarity.of({"x": True, "y": False}, 0.5)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<svg onload=alert(1)>", "cannot be read"),
        (picture("GIF"), "cannot be read"),
        (picture()[:200], "cannot be read"),
        (bytes(2_000_001), "at most 2000000 bytes"),
    ],
    ids=["empty", "svg", "gif", "cut-off", "large"],
)
def test_what_is_no_picture_is_refused(data, words):
    with pytest.raises(PictureError, match=words):
        read_picture(data)


def test_whatever_is_damaged_is_refused_as_a_picture_and_nothing_else_is_raised():
    draw = np.random.default_rng(1)
    for kind in ("PNG", "JPEG"):
        whole = picture(kind)
        num_refused = 0
        for _ in range(300):
            damaged = bytearray(whole)
            for place in draw.integers(0, len(whole), 4):
                damaged[place] = draw.integers(0, 256)
            try:
                read_picture(bytes(damaged))
            except PictureError:
                num_refused += 1
        assert num_refused > 0


def test_a_small_file_that_unpacks_into_a_long_text_is_refused():
    chunk = b"zTXt" + b"Comment\x00\x00" + zlib.compress(bytes(50_000_000))
    whole = picture()
    bomb = whole[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:]
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture(bomb)


def test_a_small_file_of_too_many_pixels_is_refused_before_it_is_unpacked():
    buffer = io.BytesIO()
    Image.new("1", (5000, 4000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    with pytest.raises(PictureError, match="5000 x 4000"):
        read_picture(buffer.getvalue())


@pytest.fixture
def asked(tmp_path):
    with Store(tmp_path / "study.db", Clock()) as store:
        for kind in (Kind.BINARY, Kind.RATE):
            made, about = question(kind, ["text"])
            store.submit([made], about)
        queue = Queue(store, mixing=NO_TESTS)
        yield queue, queue.next_for(store.enrol("rater-1"), Interface.WEB), Artefacts(tmp_path / "files")


def test_a_reaction_is_stored_only_once_it_is_confirmed_and_its_picture_is_kept(asked):
    queue, showing, kept = asked
    person = queue.store.enrol("rater-1")
    seen = Seen((("happy", 0.9), ("sad", 0.1)))
    answer = PictureAnswer(showing, lambda data: seen, TABLE, kept)
    with pytest.raises(RecordError, match="nothing was understood"):
        answer.confirm()
    assert answer.see(picture("JPEG")) == "good"
    with pytest.raises(RecordError, match="confirmed"):
        answer.store(queue, person, "key")
    answer.confirm()
    answer.see(picture())  # another picture wants another confirmation
    with pytest.raises(RecordError, match="confirmed"):
        answer.store(queue, person, "key")
    answer.confirm()
    stored = answer.store(queue, person, "key")
    assert (stored.payload, stored.confidence) == ({"good": True}, 0.9)
    assert kept.read(stored.artefact) == picture()
    assert queue.store.record(Lease, stored.lease).interface is Interface.PICTURE


def test_a_picture_does_not_answer_a_rating(asked):
    queue, showing, kept = asked
    person = queue.store.enrol("rater-1")
    queue.give_back(person, showing.lease.id)
    answer = PictureAnswer(showing, lambda data: Seen((("happy", 1.0),)), TABLE, kept)
    answer.see(picture())
    answer.confirm()
    answer.store(queue, person, "key")
    rating = queue.next_for(person, Interface.WEB)
    with pytest.raises(RecordError, match="rate"):
        PictureAnswer(rating, lambda data: Seen(()), TABLE, kept)


def test_a_model_gives_a_share_to_each_of_its_labels(tmp_path):
    make_classifier(tmp_path)
    seen = ModelClassifier(str(tmp_path))(picture())
    assert {label for label, _ in seen.labels} == {"happy", "sad", "surprised"}
    assert sum(share for _, share in seen.labels) == pytest.approx(1.0, abs=1e-4)
    assert ModelClassifier(str(tmp_path))(plain(250)).labels[0][0] == "happy"
    assert ModelClassifier(str(tmp_path))(plain(5)).labels[0][0] == "sad"
