"""FS-04, FS-15: calls that take a name stand in `at` (and `plain`) alone; none takes a path."""

import ast
from pathlib import Path

import pytest

import securecp.disk

PACKAGE = Path(securecp.disk.__file__).parent
DOORS = {"at.py", "plain.py"}
NAMELESS = {  # what the other files may call: descriptors and values only
    *("fchmod", "fsdecode", "fsencode", "fstat", "fstatvfs", "fsync", "ftruncate", "geteuid"),
    *("lseek", "preadv", "pwritev", "read", "strerror", "umask", "utime", "write"),
    *("stat_result", "SEEK_SET"),
}
TAKE_NAMES = {"open", "mkdir", "link", "replace", "rename", "unlink", "rmdir", "stat"}


def files() -> list[Path]:
    return sorted(PACKAGE.glob("*.py"))


def attributes_of(tree: ast.AST, module: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == module
    }


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_fs04_no_call_by_path_outside_the_door(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    modules = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "open" not in names
    assert not modules & {"shutil", "glob", "tempfile", "io", "subprocess"}
    if path.name not in DOORS:
        assert attributes_of(tree, "os") <= NAMELESS
        # A path object only carries what the user typed.
        assert not any(
            isinstance(node, ast.Attribute)
            and node.attr in {"exists", "is_file", "is_dir", "lexists"}
            for node in ast.walk(tree)
        )


def test_fs04_every_call_in_the_door_is_relative_and_follows_nothing() -> None:
    tree = ast.parse((PACKAGE / "at.py").read_text())
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            target = call.func
            if not (
                isinstance(target, ast.Attribute)
                and isinstance(target.value, ast.Name)
                and target.value.id == "os"
                and target.attr in TAKE_NAMES
            ):
                continue
            given = {keyword.arg for keyword in call.keywords}
            if function.name in {"pin", "pin_private", "_keep"}:  # the user's own path
                continue
            assert given & {"dir_fd", "src_dir_fd"}, function.name
            if target.attr in {"stat", "link"}:
                assert "follow_symlinks" in given, function.name
            if target.attr == "open":
                assert "_SAFE" in ast.unparse(call.args[1]), function.name
            if "O_CREAT" in ast.unparse(call):
                assert "O_EXCL" in ast.unparse(call), function.name


def test_plain_has_every_call_of_the_door() -> None:
    from securecp.disk import at, plain

    public = {
        name
        for name, value in vars(at).items()
        if getattr(value, "__module__", "") == at.__name__ and name[0] != "_"
    }
    assert public <= set(vars(plain))
