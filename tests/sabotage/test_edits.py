"""The list of edits cannot rot: each applies to the code as it is and names tests that exist."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.sabotage.edit import Edit, apply, edits

ROOT = Path(__file__).parent.parent.parent
EDITS = list(edits())


@cache
def names(path: Path) -> set[str]:
    """Of every function and class in a test file, and of what is assigned at its top."""
    tree = ast.parse(path.read_bytes())
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return assigned | {node.name for node in ast.walk(tree) if isinstance(node, defined)}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_every_edit_still_applies(edit: Edit) -> None:
    source = (ROOT / edit.path).read_text()
    assert apply(edit, source) != source


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_every_test_that_an_edit_names_is_there(edit: Edit) -> None:
    assert edit.tests
    for test in edit.tests:
        path, *parts = test.split("::")
        assert (ROOT / path).is_file(), path
        for part in parts:
            assert part.split("[")[0] in names(ROOT / path), test


def test_edits_are_told_apart_by_their_names() -> None:
    assert not [name for name, times in Counter(edit.name for edit in EDITS).items() if times > 1]
