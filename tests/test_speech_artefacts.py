"""Keep raw files: under the hash of what they hold, whole or not at all, and only what a study expects."""

from __future__ import annotations

import hashlib
import os

import pytest

from feedback.speech.artefacts import ArtefactError, Artefacts, artefacts_of

SOUND = b"RIFF and what follows"


def test_a_files_name_is_the_hash_of_what_it_holds_and_the_same_bytes_are_kept_once(tmp_path):
    kept = Artefacts(tmp_path / "study.db.files")
    name = kept.keep(SOUND, "wav")
    assert name == f"{hashlib.sha256(SOUND).hexdigest()}.wav"
    assert kept.keep(SOUND, "wav") == name
    assert [file.name for file in kept.folder.iterdir()] == [name]
    assert kept.read(name) == SOUND
    assert kept.holds(name)


def test_other_people_of_the_machine_cannot_look_into_the_folder(tmp_path):
    kept = Artefacts(tmp_path / "files")
    kept.keep(SOUND, "wav")
    assert kept.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("data", "ending", "words"),
    [
        (b"<html>", "wav", "types wav, png, jpg"),
        (SOUND, "html", "types"),
        (SOUND, "../wav", "types"),
        (b"", "wav", "types"),
        (SOUND + bytes(100), "wav", "at most 100"),
    ],
)
def test_another_type_and_what_is_too_large_is_not_kept(tmp_path, data, ending, words):
    kept = Artefacts(tmp_path / "files", most_bytes=100)
    with pytest.raises(ArtefactError, match=words):
        kept.keep(data, ending)
    assert not kept.folder.exists()


def test_a_full_folder_says_so_and_keeps_what_it_has(tmp_path):
    kept = Artefacts(tmp_path / "files", most_kept=len(SOUND) + 1)
    name = kept.keep(SOUND, "wav")
    with pytest.raises(ArtefactError, match="full"):
        kept.keep(b"RIFF another", "wav")
    assert kept.keep(SOUND, "wav") == name


@pytest.mark.parametrize(
    "name", ["", "../study.db", "study.db", "/etc/passwd", "a" * 64, f"{'a' * 64}.wav/..", f"{'A' * 64}.wav", f"{'a' * 64}.wav\n"]
)
def test_no_other_name_leads_to_a_file(tmp_path, name):
    (tmp_path / "study.db").write_text("secret")
    kept = Artefacts(tmp_path)
    assert not kept.holds(name)
    with pytest.raises(KeyError):
        kept.read(name)


def test_a_file_that_was_changed_is_not_taken_for_what_was_said(tmp_path):
    kept = Artefacts(tmp_path / "files")
    name = kept.keep(SOUND, "wav")
    (kept.folder / name).write_bytes(b"RIFF something else")
    with pytest.raises(ArtefactError, match="no longer"):
        kept.read(name)


def test_a_write_that_fails_leaves_no_file_behind(tmp_path, monkeypatch):
    kept = Artefacts(tmp_path / "files")

    def fail(place: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        kept.keep(SOUND, "wav")
    assert not list(kept.folder.iterdir())


def test_a_studys_files_lie_beside_it(tmp_path):
    assert artefacts_of(tmp_path / "study.db").folder == tmp_path / "study.db.files"
    assert artefacts_of(f"sqlite:///{tmp_path}/study.db").folder == tmp_path / "study.db.files"
    with pytest.raises(ValueError, match=r"use a study in a file"):
        artefacts_of("postgresql://host/name")
