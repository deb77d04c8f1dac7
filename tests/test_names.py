"""Import paths become objects."""

from __future__ import annotations

import re

import pytest

from text_env.names import resolve


def test_a_class_is_called_with_the_arguments():
    assert resolve("fractions:Fraction", numerator=1, denominator=2) == 0.5


def test_anything_else_is_used_as_it_is():
    import math

    assert resolve("math:sqrt") is math.sqrt
    assert resolve("string:Template.delimiter") == "$"


@pytest.mark.parametrize("name", ["math", "math:", ":sqrt", "math.sqrt", ""])
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(ValueError, match=re.escape(f'a name must look like "module:Name", got {name!r}')):
        resolve(name)


def test_an_unknown_module_is_named():
    with pytest.raises(ValueError, match=r"there is no module 'no_such_module' \(from 'no_such_module.part:Name'\): install it, or put"):
        resolve("no_such_module.part:Name")


def test_an_unknown_attribute_is_named_with_what_there_is():
    with pytest.raises(ValueError, match=r"module 'fractions' has no 'NoSuch'; it has .*Fraction"):
        resolve("fractions:NoSuch")


def test_arguments_for_what_is_no_class_are_refused():
    with pytest.raises(ValueError, match=r"'math:sqrt' is not a class, so it takes no arguments, got \{'x': 1\}"):
        resolve("math:sqrt", x=1)


def test_a_module_that_cannot_import_what_it_needs_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import a_module_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        resolve("needs_more:Name")
