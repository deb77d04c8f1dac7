"""Ask the page over its requests: who may answer, what is refused, and that every kind of question works without script."""

from __future__ import annotations

import itertools
import json
import threading

import pytest

from feedback.page.gate import Rates
from feedback.page.wording import excerpt, shown
from feedback.study.quality import study_quality
from feedback.study.records import Kind, Outcome, Question
from feedback.study.tables import invitations, sessions
from tests.page_study import ADDRESS, Clock, Reading, Visitor, answers, desk, one_of_each, question

JSON = {"Accept": "application/json"}


@pytest.fixture
def study(tmp_path):
    made = desk(tmp_path / "study.db")
    made.store.submit(*one_of_each())
    with made.store:
        yield made


# Who may come in.


@pytest.mark.parametrize("path", ["/", "/done", "/help", "/history", "/question/x", "/study", "/study/export/log.jsonl"])
def test_nothing_is_shown_to_somebody_without_an_invitation(study, path):
    stranger = Visitor(study, None)
    assert stranger.get(path).status_code == 401
    assert "invitation" in stranger.page.words
    assert "Text 0a" not in stranger.page.words


@pytest.mark.parametrize("path", ["/answer", "/skip", "/undo", "/revise", "/study/invite", "/sign-out"])
def test_nothing_is_taken_from_somebody_without_an_invitation(study, path):
    rater = Visitor(study)
    rater.get()
    before = len(list(study.store.entries()))
    assert Visitor(study, None).post(path, rater.fields(choice="4", handle="x", role="owner", days="1")).status_code == 401
    assert len(list(study.store.entries())) == before


def test_an_invitation_is_used_up_by_its_button_and_not_by_a_preview(study):
    token = study.access.invite("rater-2")
    visitor = Visitor(study, None)
    for _ in range(3):
        assert visitor.get(f"/invitation/{token}").status_code == 200
    visitor.come_in(token)
    assert visitor.get("/").status_code == 200
    assert Visitor(study, None).post(f"/invitation/{token}", {}).status_code == 404
    assert Visitor(study, None).get(f"/invitation/{token}").status_code == 404


def test_an_invitation_that_is_over_says_so(study):
    token = study.access.invite("rater-2", days=1)
    study.store.clock.now += 86_401
    late = Visitor(study, None)
    assert late.get(f"/invitation/{token}").status_code == 404
    assert late.post(f"/invitation/{token}", {}).status_code == 404
    assert "Ask whoever sent it" in late.page.words


def test_a_session_ends_with_its_time_and_by_signing_out(study):
    one, other = Visitor(study, "one"), Visitor(study, "other")
    one.get()
    cookie = "; ".join(f"{name}={value}" for name, value in one.client.cookies.items())
    one.send("/sign-out")
    assert "signed out" in one.page.words
    assert one.get("/").status_code == 401
    assert one.client.get("/", headers={"Cookie": cookie}).status_code == 401
    study.store.clock.now += 31 * 86_400
    assert other.get("/").status_code == 401


def test_the_database_holds_no_token(study):
    token = study.access.invite("rater-2")
    visitor = Visitor(study)
    kept = []
    with study.store.database.reading() as connection:
        for table in (invitations, sessions):
            kept += [value for row in connection.execute(table.select()) for value in row]
    assert kept
    assert token not in kept
    assert not set(visitor.client.cookies.values()) & set(kept)


@pytest.mark.parametrize(("address", "name"), [(ADDRESS, "session-8000"), ("https://study.example.org", "__Host-session")])
def test_a_sessions_cookie_is_kept_from_scripts_and_other_sites(tmp_path, address, name):
    served = desk(tmp_path / "study.db", address=address)
    response = Visitor(served, None).post(f"/invitation/{served.access.invite('rater-1')}", {})
    value, *flags = response.headers["set-cookie"].split("; ")
    assert value.startswith(f"{name}=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(flags)
    assert ("Secure" in flags) == address.startswith("https")


# In whose name, and from where.


def test_nobody_answers_in_anothers_name(study):
    one, other = Visitor(study, "one"), Visitor(study, "other")
    one.get()
    other.get()
    taken = other.fields(choice="4") | {"lease": one.fields()["lease"]}
    assert other.post("/answer", taken).status_code == 403
    named = {"person": study.store.enrol("one").id, "user": "one", "handle": "one"}
    assert other.post("/answer", other.fields(choice="good") | named).status_code in (303, 422)
    assert all(answer.person == study.store.enrol("other").id for answer in answers(study.store))


def test_nobody_changes_anothers_answer(study):
    one, other = Visitor(study, "one"), Visitor(study, "other")
    one.get()
    one.send("/answer", ("choice", "good"))
    (said,) = answers(study.store)
    other.get()
    assert other.post("/revise", other.fields(answer=said.id)).status_code == 403
    assert one.post("/revise", one.fields(answer="no-such")).status_code == 404


@pytest.mark.parametrize("path", ["/answer", "/skip", "/undo", "/revise", "/sign-out"])
@pytest.mark.parametrize("csrf", ["", "wrong", "ü", "another's"])
def test_a_form_without_its_sessions_word_is_refused(study, path, csrf):
    rater, other = Visitor(study), Visitor(study, "other")
    rater.get()
    other.get()
    word = other.fields()["csrf"] if csrf == "another's" else csrf
    assert rater.post(path, rater.fields(choice="good", reason="x") | {"csrf": word}).status_code == 403
    assert not answers(study.store)
    assert rater.get("/").status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", "http://127.0.0.1", "https://127.0.0.1:8000", "http://127.0.0.1:8000.evil.example"]
)
def test_a_form_from_elsewhere_is_refused(study, origin):
    rater = Visitor(study)
    rater.get()
    assert rater.post("/answer", rater.fields(choice="good"), Origin=origin).status_code == 403
    assert not answers(study.store)


def test_a_form_that_the_browser_calls_foreign_or_that_names_no_origin_is_refused(study):
    rater = Visitor(study)
    rater.get()
    assert rater.post("/answer", rater.fields(choice="good"), **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert rater.client.post("/answer", data=rater.fields(choice="good")).status_code == 403
    assert not answers(study.store)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:9000", "localhost.evil.example:8000", ""])
def test_a_name_that_is_not_the_pages_is_refused(study, host):
    rater = Visitor(study)
    response = rater.get("/", Host=host)
    assert response.status_code == 400
    assert ADDRESS in response.text
    assert "Text 0a" not in response.text


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "LOCALHOST:8000"])
def test_this_machines_usual_names_are_served(study, host):
    assert Visitor(study, None).client.get("/", headers={"Host": host}).status_code == 401


@pytest.mark.parametrize("path", ["/", "/done", "/nowhere", "/study", "/invitation/x"])
def test_every_page_has_the_headers_that_keep_it_safe(study, path):
    headers = Visitor(study).get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_no_page_has_script_or_style_inside(study):
    rater = Visitor(study)
    for path in ("/", "/help", "/history", "/done"):
        html = rater.get(path).text
        assert html.count("<script") == 1 and 'page.js"></script>' in html
        assert "style=" not in html and "<style" not in html
        assert not [name for name, _ in rater.page.attributes if name.startswith("on")]


def test_the_pages_own_files_may_be_kept_and_nothing_else_is_a_file(study):
    rater = Visitor(study)
    rater.get()
    (script,) = [value for name, value in rater.page.attributes if name == "src"]
    assert "immutable" in rater.client.get(script).headers["cache-control"]
    for name in ("../screens.py", "..%2Fscreens.py", "page.py"):
        assert rater.client.get(f"/file/x/{name}").status_code == 404


def test_a_rater_sees_nothing_of_the_owners_page(study):
    rater = Visitor(study)
    rater.get()
    assert "Overview" not in rater.page.words
    assert rater.get("/study").status_code == 403
    assert rater.get("/study/export/log.jsonl").status_code == 403
    rater.get()
    assert rater.post("/study/invite", rater.fields(handle="friend", role="owner", days="1")).status_code == 403


# How much, and how fast.


def test_a_critique_of_a_million_bytes_is_refused_by_a_page_that_says_why(tmp_path):
    served = desk(tmp_path / "study.db")
    served.store.submit(*one_of_each(kinds=(Kind.CRITIQUE,)))
    rater = Visitor(served)
    rater.get()
    response = rater.post("/answer", rater.fields(choice="send", text="x" * 1_000_000))
    assert response.status_code == 413
    assert "your text is still in the form" in response.text
    assert not answers(served.store)
    told = rater.post("/answer", rater.fields(choice="send", text="x" * 1_000_000), **JSON)
    assert (told.status_code, told.json()["saved"]) == (413, False)
    assert rater.post("/answer", rater.fields(choice="send", text="x" * 199_000)).status_code == 303


def test_a_critique_that_is_too_long_comes_back_in_its_form(tmp_path):
    served = desk(tmp_path / "study.db")
    served.store.submit(*one_of_each(kinds=(Kind.CRITIQUE,)))
    rater = Visitor(served)
    rater.get()
    text = "word " * 41_000
    rater.send("/answer", ("choice", "send"), text=text, comment="kept too")
    assert rater.status == 422
    assert "at most 200000 characters" in rater.page.words
    kept = dict(rater.form("/answer").fields)
    assert (kept["text"], kept["comment"]) == (text, "kept too")


def test_a_body_of_unknown_length_is_bounded_too(study):
    rater = Visitor(study)
    rater.get()
    parts = (b"x" * 100_000 for _ in range(30))
    headers = {"Origin": ADDRESS, "Content-Type": "application/x-www-form-urlencoded"}
    assert rater.client.post("/answer", content=parts, headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b'{"choice": "good"}', 415),
        ("text/plain", b"choice=good", 415),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense", 403),
        ("multipart/form-data", b"--x", 400),
        ("application/x-www-form-urlencoded", b"\xff\x00=%zz&&&", 403),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nb\r\n--x--\r\n', 400),
    ],
)
def test_a_body_that_is_no_form_is_refused_with_a_page(study, kind, body, status):
    rater = Visitor(study)
    response = rater.client.post("/answer", content=body, headers={"Origin": ADDRESS, "Content-Type": kind})
    assert response.status_code == status
    assert "<h1>" in response.text
    assert not answers(study.store)


def test_too_many_forms_of_one_session_are_slowed_down_and_others_are_not(tmp_path):
    served = desk(tmp_path / "study.db", requests_at_once=5, requests_per_second=0.001)
    served.store.submit(*one_of_each(wanted=2))
    rater, other = Visitor(served, "rater"), Visitor(served, "other")
    rater.get()
    other.get()
    codes = [rater.post("/undo", rater.fields()).status_code for _ in range(8)]
    assert codes == [303] * 5 + [429] * 3
    late = rater.post("/answer", rater.fields(choice="good"), **JSON)
    assert late.status_code == 429 and int(late.headers["retry-after"]) > 0
    assert other.post("/answer", other.fields(choice="good")).status_code == 303


def test_a_rate_comes_back_with_time_and_forgets_old_callers():
    now = [0.0]
    rates = Rates(2, 0.5, lambda: now[0], callers=3)
    assert [rates.seconds_to_wait("a") for _ in range(3)] == [0, 0, 2]
    now[0] = 2.0
    assert [rates.seconds_to_wait("a") for _ in range(2)] == [0, 2]
    for name in "bcd":
        rates.seconds_to_wait(name)
    assert len(rates._buckets) == 3


# Every kind, without script.

SAID = {
    Kind.BINARY: (("choice", "bad"), [], {}, Outcome.ANSWERED, {"good": False}),
    Kind.RATE: (("choice", "4"), [], {}, Outcome.ANSWERED, {"step": 4}),
    Kind.CRITIQUE: (("choice", "send"), [], {"text": "too\r\nlong"}, Outcome.ANSWERED, {"text": "too\nlong"}),
    Kind.CORRECT: (("choice", "send"), [], {"text": "A better text."}, Outcome.ANSWERED, {"text": "A better text."}),
    Kind.SPAN: (
        ("choice", "send"),
        [("good", "0"), ("good", "1"), ("bad", "2")],
        {},
        Outcome.ANSWERED,
        {"spans": [{"start": 0, "end": 7, "good": True}, {"start": 8, "end": 10, "good": False}]},
    ),
}


@pytest.mark.parametrize("kind", SAID)
def test_a_question_is_answered_without_script(tmp_path, kind):
    served = desk(tmp_path / "study.db")
    served.store.submit(*one_of_each(kinds=(kind,)))
    rater = Visitor(served)
    rater.get()
    button, ticks, values, outcome, payload = SAID[kind]
    rater.send("/answer", button, *ticks, comment=" and this ", **values)
    (said,) = answers(served.store)
    assert (said.outcome, said.payload, said.comment) == (outcome, payload, "and this")
    assert "All done" in rater.page.words


@pytest.mark.parametrize("choice", ["a", "b", "tie", "all_bad", "abstain"])
def test_a_comparison_is_kept_by_passage_and_not_by_side(tmp_path, choice):
    served = desk(tmp_path / "study.db")
    asked, passages = question(Kind.COMPARE, ["one text", "another text"], wanted=8, most=8)
    served.store.submit([asked], passages)
    texts = {passage.text: passage.id for passage in passages}
    orders = set()
    for number in range(8):
        rater = Visitor(served, f"rater-{number}")
        rater.get()
        first, second = (text for text in rater.page.texts if text in texts)
        orders.add(first)
        rater.send("/answer", ("choice", choice))
        said = answers(served.store)[-1]
        better = {"a": first, "b": second}.get(choice)
        expected = {} if better is None else {"groups": [[texts[better]], [texts[second if better == first else first]]]}
        assert said.payload == expected
        assert said.outcome == (Outcome.ANSWERED if better else choice)
    assert len(orders) == 2


@pytest.mark.parametrize("places", [*itertools.permutations("123"), ("1", "1", "2"), ("2", "", "1"), ("", "1", "1")])
def test_a_ranking_is_stored_as_it_was_given(tmp_path, places):
    served = desk(tmp_path / "study.db")
    served.store.submit(*one_of_each(kinds=(Kind.RANK,)))
    rater = Visitor(served)
    rater.get()
    ids = {passage.text: passage.id for passage in served.queue.show(served.store.enrol("rater-1"), rater.fields()["lease"]).passages}
    shown_ids = [ids[text] for text in rater.page.texts if text in ids]
    assert len(shown_ids) == 3
    rater.post("/answer", rater.fields(choice="send") | {f"place-{at}": place for at, place in enumerate(places)})
    if places == ("", "1", "1"):
        assert not answers(served.store)
        return
    (said,) = answers(served.store)
    expected = [
        {shown_ids[at] for at, given in enumerate(places) if given == place} for place in sorted({place for place in places if place})
    ]
    assert [set(group) for group in said.payload["groups"]] == expected


def test_texts_that_share_one_place_are_a_tie_and_not_the_same_as_none_being_good(tmp_path):
    served = desk(tmp_path / "study.db")
    served.store.submit(*one_of_each(wanted=2, kinds=(Kind.RANK,)))
    for name, choice in (("one", "send"), ("other", "all_bad")):
        rater = Visitor(served, name)
        rater.get()
        rater.post("/answer", rater.fields(choice=choice) | {f"place-{at}": "1" for at in range(3)})
    assert [said.outcome for said in answers(served.store)] == [Outcome.TIE, Outcome.ALL_BAD]


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Kind.RATE, {"choice": "6"}, "from 1 to 5"),
        (Kind.RATE, {"choice": "good"}, "whole number"),
        (Kind.RATE, {"choice": "٣"}, "whole number"),
        (Kind.RATE, {}, "Choose an answer"),
        (Kind.BINARY, {"choice": "1"}, "good, bad"),
        (Kind.BINARY, {"choice": "tie"}, "good, bad"),
        (Kind.COMPARE, {"choice": "c"}, "a, b"),
        (Kind.RANK, {"choice": "send", "place-0": "1"}, "at least two"),
        (Kind.RANK, {"choice": "send", "place-0": "x", "place-1": "1"}, "whole number"),
        (Kind.RANK, {"choice": "send", "place-0": "1", "place-1": "1"}, "equally good"),
        (Kind.CRITIQUE, {"choice": "send", "text": " \n "}, "needs words"),
        (Kind.SPAN, {"choice": "send"}, "at least one word"),
        (Kind.SPAN, {"choice": "send", "good": "999"}, "no word 999"),
        (Kind.SPAN, {"choice": "send", "good": "-1"}, "no word -1"),
        (Kind.SPAN, {"choice": "send", "good": "1", "bad": "1"}, "both good and bad"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_on_its_own_page_and_by_json(tmp_path, kind, fields, message):
    served = desk(tmp_path / "study.db")
    served.store.submit(*one_of_each(kinds=(kind,)))
    rater = Visitor(served)
    rater.get()
    response = rater.post("/answer", rater.fields(**fields, comment="a comment"))
    assert response.status_code == 422
    page = Reading(response.text)
    assert message in page.words
    assert [form.action for form in page.forms if form.action == "/answer"]
    told = rater.post("/answer", rater.fields(**fields), **JSON)
    assert (told.status_code, told.json()["saved"]) == (422, False)
    assert message in told.json()["error"]
    assert not answers(served.store)


def test_a_correction_begins_with_what_was_written(tmp_path):
    served = desk(tmp_path / "study.db")
    asked, passages = question(Kind.CORRECT, ["\n  A text that begins with a line end.\n"])
    served.store.submit([asked], passages)
    rater = Visitor(served)
    rater.get()
    rater.send("/answer", ("choice", "send"))
    assert answers(served.store)[0].payload == {"text": passages[0].text}


def test_only_what_a_question_allows_is_offered(tmp_path):
    served = desk(tmp_path / "study.db")
    asked, passages = question(Kind.COMPARE, ["one", "two"], allows=("tie",))
    served.store.submit([asked], passages)
    rater = Visitor(served)
    rater.get()
    assert {value for _, value in rater.form("/answer").buttons} == {"a", "b", "tie"}
    assert not [form for form in rater.page.forms if form.action == "/skip"]
    assert rater.post("/answer", rater.fields(choice="all_bad")).status_code == 422
    assert rater.post("/skip", rater.fields(reason="no")).status_code == 422


def test_who_wrote_a_text_is_not_on_the_page(study):
    rater = Visitor(study)
    for _ in Kind:
        assert "policy-that-is-not-shown" not in rater.get().text
        rater.post("/answer", rater.fields(choice="abstain"))
    assert "policy-that-is-not-shown" not in rater.get("/history").text


# Twice, back, and again.


def test_the_same_form_sent_twice_is_one_answer(study):
    rater = Visitor(study)
    rater.get()
    first, second = (rater.post("/answer", rater.fields(choice="good"), **JSON) for _ in range(2))
    assert first.json() == second.json()
    assert first.json()["saved"]
    assert len(answers(study.store)) == 1


def test_a_used_key_with_another_answer_is_refused_and_the_first_stands(study):
    rater = Visitor(study)
    rater.get()
    fields = rater.fields()
    rater.post("/answer", fields | {"choice": "good"})
    response = rater.post("/answer", fields | {"choice": "bad"}, **JSON)
    assert response.status_code == 422
    assert [said.payload for said in answers(study.store)] == [{"good": True}]


def test_two_hundred_answers_at_once_are_all_stored(tmp_path):
    served = desk(tmp_path / "study.db", requests_at_once=1000)
    asked = [question(Kind.RATE, [f"text {number}"]) for number in range(200)]
    served.store.submit([each for each, _ in asked], [passage for _, about in asked for passage in about])
    codes = list[int]()

    def answer(name: str) -> None:
        rater = Visitor(served, name)
        for _ in range(25):
            rater.get()
            codes.append(rater.post("/answer", rater.fields(choice="3"), **JSON).status_code)

    threads = [threading.Thread(target=answer, args=(f"rater-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 200
    assert len({said.question for said in answers(served.store)}) == 200


@pytest.mark.parametrize(("path", "lease"), [("/answer", "x"), ("/skip", ""), ("/answer", "../../x")])
def test_an_unknown_question_is_a_page_with_a_way_on(study, path, lease):
    rater = Visitor(study)
    rater.get()
    response = rater.post(path, rater.fields(choice="good", reason="x") | {"lease": lease})
    assert response.status_code == 404
    assert 'href="/">Go on</a>' in response.text
    assert rater.get("/question/x").status_code == 404
    assert rater.get("/nowhere").status_code == 404
    assert rater.get("/answer").status_code == 405


def test_an_answer_after_its_time_is_stored(study):
    rater = Visitor(study)
    rater.get()
    study.store.clock.now += 7200
    assert rater.post("/answer", rater.fields(choice="good"), **JSON).json()["saved"]
    assert len(answers(study.store)) == 1


@pytest.mark.parametrize("key", ["", "k" * 101])
def test_an_answer_or_undo_without_a_usable_key_is_refused(study, key):
    rater = Visitor(study)
    rater.get()
    assert rater.post("/answer", rater.fields(choice="good") | {"key": key}).status_code == 422
    rater.post("/answer", rater.fields(choice="good"))
    assert rater.post("/undo", rater.fields() | {"key": key}).status_code == 422
    assert len(answers(study.store)) == 1


def test_undo_shows_the_question_again_as_it_was_filled_in(study):
    rater = Visitor(study)
    rater.get()
    text = rater.page.texts
    rater.send("/answer", ("choice", "good"), comment="a remark")
    assert rater.page.texts != text
    rater.send("/undo")
    assert rater.page.texts == text
    assert dict(rater.form("/answer").fields)["comment"] == "a remark"
    assert ("aria-pressed", "true") in rater.page.attributes
    rater.send("/answer", ("choice", "bad"))
    assert [said.outcome for said in answers(study.store)] == [Outcome.ANSWERED, Outcome.WITHDRAWN, Outcome.ANSWERED]
    assert study.queue.progress(study.store.enrol("rater-1"))[0] == 1


def test_one_undo_sent_twice_takes_back_one_answer(study):
    rater = Visitor(study)
    for choice in ("good", "3"):
        rater.get()
        rater.send("/answer", ("choice", choice))
    fields = dict(rater.form("/undo").fields)
    assert [rater.post("/undo", fields).status_code for _ in range(2)] == [303, 303]
    assert [said.outcome for said in answers(study.store)].count(Outcome.WITHDRAWN) == 1


def test_undo_without_an_answer_goes_on(study):
    rater = Visitor(study)
    rater.get()
    assert not [form for form in rater.page.forms if form.action == "/undo"]
    assert rater.post("/undo", rater.fields(), **JSON).json() == {"saved": True, "next": "/"}


def test_a_skip_needs_a_reason_keeps_it_and_gives_the_question_to_somebody_else(tmp_path):
    served = desk(tmp_path / "study.db")
    served.store.submit(*one_of_each(kinds=(Kind.BINARY,)))
    rater, other = Visitor(served, "rater"), Visitor(served, "other")
    rater.get()
    other.get()
    assert "Nothing to judge" in other.page.words
    rater.send("/skip")
    assert rater.status == 422 and "say why" in rater.page.words.lower()
    rater.send("/skip", None, ("reason", "Something else"), **{"reason-text": "it is about my cat"})
    (said,) = answers(served.store)
    assert (said.outcome, said.reason, said.payload) == (Outcome.SKIP, "Something else: it is about my cat", {})
    assert "Nothing to judge" in rater.page.words
    other.get()
    other.send("/answer", ("choice", "good"))
    rater.get("/history")
    assert "it is about my cat" in rater.page.words


@pytest.mark.parametrize("kind", Kind)
def test_an_earlier_answer_of_every_kind_is_changed_from_the_history(tmp_path, kind):
    served = desk(tmp_path / "study.db")
    served.store.submit(*one_of_each(kinds=(kind,)))
    rater = Visitor(served)
    rater.get()
    if kind is Kind.RANK:
        rater.post("/answer", rater.fields(choice="send") | {f"place-{at}": str(3 - at) for at in range(3)})
    else:
        button, ticks, values, _, _ = SAID.get(kind, (("choice", "a"), [], {}, None, None))
        rater.send("/answer", button, *ticks, **values)
    (first,) = answers(served.store)
    rater.get("/history")
    assert "You said" in rater.page.words
    rater.send("/revise")
    assert "answered this before" in rater.page.words
    names = [*itertools.takewhile(lambda named: named != ("aria-pressed", "true"), rater.page.attributes)]
    pressed = [value for name, value in names if name == "value"][-1] if len(names) < len(rater.page.attributes) else "send"
    rater.send("/answer", ("choice", pressed))  # as it is filled in: the same answer, sent again
    again = answers(served.store)[-1]
    assert again.id != first.id
    assert again.supersedes == first.id
    assert (again.outcome, again.payload) == (first.outcome, first.payload)
    assert len(served.queue.history(served.store.enrol("rater-1"))) == 1


# What models and people write is text.

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<body onload=alert(1)>",
    "<a href='javascript:alert(1)'>press</a>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    "<form action=//evil.example><input name=choice></form>",
    "</form><form action=/sign-out method=post>",
    "<input type=hidden name=csrf value=x>",
    "<button name=choice value=a>A</button>",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</div></section></main><h1>Session over</h1>",
    "</select></option></label>",
    "<!-- a comment that hides the rest",
    "--><script>alert(1)</script>",
    "<![CDATA[<script>]]>",
    "<?php system('x') ?>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "` onclick=`alert(1)",
    'x" style="position:fixed;inset:0',
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "&quot;&gt;&amp;amp;",
    "{{ 7 * 7 }}",
    "{% for x in y %}{{ x.__class__ }}{% endfor %}",
    "{{ request.app.state }}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "\u202e<script>\u202c alert",
    "a\x00b<script>\x00",
    "\x1b[2J\x1b]0;title\x07",
    "\ufeff\u200b<b>bold</b>",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "'; DROP TABLE log; --",
    "=cmd|' /C calc'!A0",
    "\r\nSet-Cookie: session=x\r\n\r\n<script>",
    "<math><mtext></mtext><mglyph><svg><mtext><style><path id='</style><img onerror=alert(1) src>'>",
]
PLAIN = "a text without anything in it"
HOSTILE_KINDS = {Kind.COMPARE: 2, Kind.CORRECT: 1, Kind.SPAN: 1}
PLAIN_TAGS = set(
    [
        "html",
        "head",
        "meta",
        "title",
        "link",
        "script",
        "body",
        "a",
        "header",
        "div",
        "nav",
        "form",
        "input",
        "button",
        "progress",
        "span",
        "b",
        "main",
        "section",
        "h1",
        "h2",
        "p",
        "bdi",
        "label",
    ]
)
OWNERS_TAGS = PLAIN_TAGS | set(["table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "select", "option", "ul", "li"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return what a study shows in which each text is everything at once: passage, prompt, instructions, comment and a person's name."""
    served = desk(tmp_path_factory.mktemp("hostile") / "study.db", requests_at_once=10_000)
    found = {}
    owner = Visitor(served, "owner", "owner")
    owner.get("/study")
    for text in [PLAIN, *HOSTILE]:
        token = served.access.invite(handle(text))
        rater = Visitor(served, None)
        found[text, "invitation"] = rater.get(f"/invitation/{token}").text
        rater.come_in(token)
        person = served.store.enrol(handle(text)).id
        for number, (kind, num_passages) in enumerate(HOSTILE_KINDS.items()):
            texts = [text, f"{text} and more"][:num_passages]
            asked, about = question(kind, texts, text, instructions=text, aspects=(text,), only_for=person, priority=-number)
            served.store.submit([asked], about)
            found[text, kind] = rater.get().text
            assert rater.post("/answer", rater.fields(choice="abstain", comment=text), **JSON).json()["saved"]
        found[text, "history"] = rater.get("/history").text
        found[text, "link"] = owner.send("/study/invite", handle=handle(text)).text
    found["all", "study"] = owner.get("/study").text
    served.store.close()
    return found


def handle(text):
    """Return a hostile name as near to a text as names may be: what cannot be printed is refused."""
    return "".join(character for character in text if character.isprintable())[:100]


def test_there_are_many_hostile_texts():
    assert len(set(HOSTILE)) >= 40


def test_markup_in_a_text_is_shown_as_text(study):
    asked, about = question(Kind.RATE, ["<b>bold</b> & more"], priority=1000)
    study.store.submit([asked], about)
    rater = Visitor(study)
    page = rater.get().text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in page and "<b>bold" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_model_wrote_is_shown_as_text_and_makes_no_markup(pages, text):
    for kind in HOSTILE_KINDS:
        page, plain = Reading(pages[text, kind]), Reading(pages[PLAIN, kind])
        assert page.tags - {"mark"} <= plain.tags
        assert {name for name, _ in page.attributes} <= {name for name, _ in plain.attributes}
        assert [form.action for form in page.forms if form.action != "/undo"] == [
            form.action for form in plain.forms if form.action != "/undo"
        ]
        assert page.words.count(shown(text)) >= (3 if kind is Kind.SPAN else 4)  # prompt, instructions, aspect, and the text in one piece
        if kind is Kind.CORRECT and "\x00" not in text:
            assert ("data-original", text) in page.attributes
            assert dict(page.forms[1].fields)["text"] == text
    assert not set(shown(text)) & set("\x00\x1b\x07\u202e\u202c")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_people_wrote_is_shown_as_text_in_history_and_to_the_owner(pages, text):
    for name, tags in (("history", PLAIN_TAGS | {"ol", "li"}), ("invitation", PLAIN_TAGS), ("link", OWNERS_TAGS)):
        page = Reading(pages[text, name])
        assert shown(text if name == "history" else handle(text)).strip() in page.words
        assert page.tags <= tags
        assert {attribute for attribute, _ in page.attributes} <= {attribute for attribute, _ in Reading(pages[PLAIN, name]).attributes}
    assert any(name == "aria-label" and excerpt(text) in value for name, value in Reading(pages[text, "history"]).attributes)
    assert shown(handle(text)) in Reading(pages["all", "study"]).words


# The owner.


def test_the_owner_sees_how_far_the_study_is_and_how_people_answer(tmp_path):
    clock = Clock()
    served = desk(tmp_path / "study.db", clock)
    known, about = question(Kind.BINARY, ["known"], gold={"good": True}, purpose="gold", priority=9, wanted=2, most=2)
    short, more = question(Kind.RATE, ["short-lived"], seconds_to_live=10_000.0)
    served.store.submit([known, short, *one_of_each()[0]], [*about, *more, *one_of_each()[1]])
    served.store.cancel([one_of_each()[0][-1].id])
    rater = Visitor(served, "rater-1")
    with served.store.database.writing() as connection:  # a known answer, asked now instead of after ten others
        showing = served.queue._lease(connection, known.id, served.store.enrol("rater-1"), "web", "")
    rater.get(f"/question/{showing.lease.id}")
    rater.send("/answer", ("choice", "good"))
    clock.now += 36
    rater.get()
    rater.send("/answer", ("choice", "bad"))
    clock.now += 20_000
    owner = Visitor(served, "owner", "owner")
    owner.get("/study")
    words = "".join(owner.page.words.split())
    assert "Open6Settled1Outoftime1Closed1" in words
    assert "rater-1rater201001of1–" in words


def retest(store):
    """Return how many of how many repeated answers of the first person stayed."""
    person = study_quality(store).people[0]
    return round((person.retest.value or 0) * person.num_repeated), person.num_repeated


def test_an_answer_that_stays_when_asked_again_is_counted(tmp_path):
    served = desk(tmp_path / "study.db")
    first, about = question(Kind.BINARY, ["again"], priority=1)
    person = served.store.enrol("rater-1")
    again = Question(Kind.BINARY, first.passages, purpose="repeat", repeats=first.id, only_for=person.id)
    served.store.submit([first, again], about)
    rater = Visitor(served)
    for choice, expected in (("good", (0, 0)), ("good", (1, 1))):
        rater.get()
        rater.send("/answer", ("choice", choice))
        assert retest(served.store) == expected
    rater.get("/history")
    rater.page.forms = [next(form for form in rater.page.forms if form.action == "/revise")]
    rater.send("/revise")
    rater.send("/answer", ("choice", "bad"))
    assert retest(served.store) == (0, 1)


def test_an_owner_invites_somebody_who_then_comes_in(study):
    owner = Visitor(study, "owner", "owner")
    owner.get("/study")
    owner.send("/study/invite", handle="rater-9")
    (link,) = [value for name, value in owner.page.attributes if name == "value" and "/invitation/" in value]
    friend = Visitor(study, None)
    friend.come_in(link.removeprefix(f"{ADDRESS}/invitation/"))
    friend.get()
    assert friend.status == 200
    owner.get("/study")
    assert link not in str(owner.page.attributes)


@pytest.mark.parametrize(
    ("handle", "role", "days"),
    [
        ("", "rater", "7"),
        ("x" * 101, "rater", "7"),
        ("x", "king", "7"),
        ("x", "rater", "0"),
        ("x", "rater", "1e3"),
        ("owner", "rater", "7"),
    ],
)
def test_an_invitation_that_cannot_be_says_why(study, handle, role, days):
    owner = Visitor(study, "owner", "owner")
    owner.get("/study")
    fields = dict(owner.form("/study/invite").fields) | {"handle": handle, "role": role, "days": days}
    response = owner.post("/study/invite", fields)
    assert response.status_code == 422
    assert "/invitation/" not in response.text


def test_the_owner_takes_the_log_away(study):
    rater = Visitor(study)
    rater.get()
    rater.send("/answer", ("choice", "good"))
    owner = Visitor(study, "owner", "owner")
    response = owner.client.get("/study/export/log.jsonl")
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["number"] for line in lines] == [entry.number for entry in study.store.entries()]
    assert "attachment" in response.headers["content-disposition"]
    assert owner.get("/study/export/other").status_code == 404


def test_whoever_signs_out_gives_back_the_question_that_they_held(tmp_path):
    made = desk(tmp_path / "study.db")
    made.store.submit(*one_of_each(kinds=(Kind.RATE,)))
    with made.store:
        one, other = Visitor(made, "one"), Visitor(made, "other")
        one.get()
        held = one.fields()
        other.get()
        assert not [form for form in other.page.forms if form.action == "/answer"]  # it is with the first
        one.send("/sign-out")
        other.get()
        assert other.form("/answer")
        other.send("/answer", ("choice", "4"))
        assert [answer.payload for answer in answers(made.store)] == [{"step": 4}]
        assert one.post("/answer", held | {"choice": "2"}).status_code == 401


def test_signing_out_with_nothing_in_hand_gives_nothing_back(tmp_path):
    made = desk(tmp_path / "study.db")
    with made.store:
        visitor = Visitor(made)
        visitor.get("/done")
        before = len(list(made.store.entries()))
        visitor.send("/sign-out")
        assert len(list(made.store.entries())) == before
