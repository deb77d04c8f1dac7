"""Start the page from the command line: who may reach it, and what is said where it cannot be served."""

from __future__ import annotations

import re
import socket

import pytest

from feedback import study
from feedback.__main__ import main
from feedback.page import serving
from feedback.page.settings import Settings
from feedback.study.access import Access
from feedback.study.store import Store

pytestmark = pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache


@pytest.fixture
def served(monkeypatch):
    """Keep uvicorn from serving, and return what it was given."""
    import uvicorn

    found = []
    monkeypatch.setattr(
        uvicorn.Server, "run", lambda self, sockets: found.append((self.config, sockets[0].getsockname(), sockets[0].proto))
    )
    return found


def serve(tmp_path, *arguments: str) -> int:
    return main(["serve", "--study", str(tmp_path / "study.db"), "--port", "0", *arguments])


def test_the_first_start_prints_an_invitation_that_works_and_the_second_none(tmp_path, served, capsys):
    assert serve(tmp_path) == 0
    config, (host, port), protocol = served[0]
    assert protocol == socket.IPPROTO_TCP  # else every answer waits for a delayed acknowledgement
    said = capsys.readouterr().out
    found = re.search(r"(http://127\.0\.0\.1:\d+)/invitation/(\S+)", said)
    assert found and found[1] == f"http://{host}:{port}"
    assert not config.proxy_headers
    with Store(tmp_path / "study.db") as store:
        person = Access(store).invited(found[2])
    assert person is not None and person.role == "owner"
    assert serve(tmp_path) == 0
    assert "/invitation/" not in capsys.readouterr().out


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "study.example.org"])
def test_another_host_is_refused_without_a_secret_and_an_address(tmp_path, served, capsys, host, monkeypatch):
    monkeypatch.delenv(serving.SECRET_VARIABLE, raising=False)
    assert serve(tmp_path, "--host", host) == 1
    assert "--secret-file" in capsys.readouterr().err
    monkeypatch.setenv(serving.SECRET_VARIABLE, "s" * 32)
    assert serve(tmp_path, "--host", host) == 1
    assert "--address" in capsys.readouterr().err
    assert not served


def test_another_host_is_served_with_a_secret_and_an_address(tmp_path, served):
    (tmp_path / "secret").write_text("s" * 32 + "\n")
    arguments = ("--host", "0.0.0.0", "--secret-file", str(tmp_path / "secret"), "--address", "https://study.example.org/")
    assert serve(tmp_path, *arguments) == 0
    assert served[0][1][0] == "0.0.0.0"


def test_a_secret_that_is_too_short_is_refused(tmp_path, served, capsys):
    (tmp_path / "secret").write_text("short")
    assert serve(tmp_path, "--secret-file", str(tmp_path / "secret")) == 1
    assert "at least 32 bytes, got 5" in capsys.readouterr().err


def test_a_port_that_is_taken_says_what_to_do(tmp_path, served, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "--study", str(tmp_path / "study.db"), "--port", str(taken.getsockname()[1])]) == 1
    assert "choose another" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named_with_the_way_to_install_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study, "find_spec", lambda name: None if name == "starlette" else name)
    assert serve(tmp_path) == 1
    assert capsys.readouterr().err == 'error: asking people needs starlette: pip install "textgen-gym[people]"\n'


def test_an_invitation_is_printed_for_the_person_and_role_that_were_named(tmp_path, capsys):
    Store(tmp_path / "study.db").close()
    command = ["invite", "--study", str(tmp_path / "study.db"), "--name", "rater-3"]
    assert main([*command, "--days", "7", "--address", "https://study.example.org"]) == 0
    link = capsys.readouterr().out.strip()
    with Store(tmp_path / "study.db") as store:
        person = Access(store).invited(link.removeprefix("https://study.example.org/invitation/"))
        assert person is not None and (person.handle, person.role) == ("rater-3", "rater")
    assert main([*command, "--role", "owner"]) == 1
    assert "is a rater of this study already" in capsys.readouterr().err


def test_nobody_is_invited_to_a_study_that_is_not_there(tmp_path, capsys):
    assert main(["invite", "--study", str(tmp_path / "other.db"), "--name", "x"]) == 1
    assert "there is no study" in capsys.readouterr().err
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("address", ["study.example.org", "ftp://x", "https://", "https://x/path", "https://user@x", "https://x?y"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match=r"looks like https://study\.example\.org"):
        Settings(address)


def test_forms_of_an_https_address_come_from_there_alone():
    settings = Settings("https://study.example.org")
    assert settings.origins == {"https://study.example.org"}
    assert settings.hosts == {"study.example.org"}


def test_the_secret_signs_the_forms_and_not_the_sessions(tmp_path):
    with Store(tmp_path / "study.db") as store:
        one, other = Access(store, b"a" * 32), Access(store, b"b" * 32)
        session = one.accept(one.invite("rater-1"))
        first, second = one.visit(session), other.visit(session)
        assert first.person == second.person
        assert first.csrf != second.csrf
        assert session not in (first.csrf, first.session)
