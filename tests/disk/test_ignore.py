"""Exclusions: the same as git's, for patterns and trees of every kind."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from securecp.disk import at, scan
from securecp.disk.ignore import Filter, Rules
from securecp.errors import SourceError
from securecp.transfer.entries import FILE

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")


def make(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def offered(root: Path, *exclude: str, ignore_files: bool = True) -> set[str]:
    """Files that would be sent, relative to the root, which is named as `.` would be."""
    found = scan([f"{root}/."], exclude=exclude, ignore_files=ignore_files)
    assert not found.problems
    paths = (os.fsdecode(path) for path, kind, _ in found.listing() if kind == FILE)
    return {path.partition("/")[2] for path in paths}


def git(place: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What git says, without the settings of the person who runs it."""
    plain = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(place)}
    return subprocess.run(
        ["git", *arguments],
        input=given,
        capture_output=True,
        cwd=place,
        env={**os.environ, **plain},
        check=False,
    ).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty one: git wants one to look at a tree."""
    place = tmp_path_factory.mktemp("git")
    git(place, "init", "-q", "--bare", ".")
    return place


def as_git(repository: Path, root: Path, *exclude: str) -> set[str]:
    """What git would take of the same tree, its rules standing in files of our name."""
    out = git(
        root,
        f"--git-dir={repository}",
        "--work-tree=.",
        *("ls-files", "-z", "--others", "--exclude-per-directory=.securecpignore"),
        *(f"--exclude={pattern}" for pattern in exclude),
    )
    return {os.fsdecode(path) for path in out.split(b"\0") if path}


TREE = {
    "main.c": "",
    "main.o": "",
    "keep.o": "",
    "build/x": "",
    "src/build/y": "",
    "src/main.c": "",
    "src/deep/er/main.o": "",
    "src/deep/er/notes": "",
    "#hash": "",
    "!bang": "",
    " lead": "",
    "tail ": "",
    "a[b]": "",
    "ab": "",
}
CASES = [
    "*.o",
    "*.o\n!keep.o",
    "build",
    "build/",
    "/build/",
    "src/build",
    "/*.c",
    "**/er/main.o",
    "src/**",
    "src/**/main.o",
    "src/**/",
    "**/deep/**",
    "**",
    "*\n!*/\n!*.c",
    "*\n!*.c",
    "*/",
    "**/",
    "/*\n!/src",
    "src\n!src/main.c",
    "src/*\n!src/deep",
    "#hash",
    "\\#hash",
    "\\!bang",
    "!bang\nbang",
    " lead",
    "tail ",
    "tail\\ ",
    "tail\\  ",
    "a[b]",
    "a\\[b]",
    "a[[:alpha:]]",
    "[!a-m]*",
    "[^a-m]*",
    "m?in.c",
    "main.c\r\n",
    "/",
    "",
    "  ",
    "*.\\o",
    "**.o",
    "***/**",
    "**/*/**",
    "**/*/**/",
    "*/**",
    "/**",
    "/*/",
    "**/**",
    "src/***/er",
    "***",
    "src**main.c",
    "/**/er",
    "src/de*/**/no*",
    "\ufeffbuild",
    "foo/../build",
    "./build",
    "build//",
]


@needs_git
@pytest.mark.parametrize("text", CASES)
def test_a_file_of_patterns_means_what_it_means_to_git(
    tmp_path: Path, repository: Path, text: str
) -> None:
    make(tmp_path, {**TREE, ".securecpignore": text})
    assert offered(tmp_path) == as_git(repository, tmp_path)


@needs_git
@pytest.mark.parametrize("text", CASES)
def test_each_path_is_judged_as_by_git_check_ignore(tmp_path: Path, text: str) -> None:
    git(tmp_path, "init", "-q", ".")
    make(tmp_path, {**TREE, ".gitignore": text})
    rules = Rules.parse(text.encode())
    asked = [path.encode() for path in TREE]
    out = git(tmp_path, "check-ignore", "--stdin", "-z", "--no-index", given=b"\0".join(asked))
    ignored = set(out.split(b"\0")) - {b""}
    for path in asked:
        here, excluded = Filter.of(Rules([])).below(b"top").with_file(rules), False
        *folders, name = path.split(b"/")
        for folder in folders:
            excluded = excluded or here.excludes(folder, folder=True)
            here = here.below(folder)
        assert (excluded or here.excludes(name, folder=False)) == (path in ignored), path


_names = st.sampled_from(["a", "b", "ab", "a.c", "b.o", ".x", "a b", "#", "[a]", "é"])
_paths = st.lists(_names, min_size=1, max_size=4).map("/".join)
_piece = st.sampled_from(
    [*("*", "**", "?", "a", "b", "ab", ".c", "*.o", ".x", " ", "[ab]", "[!a]", "[a-c]*", "\\#")]
)
_pattern = st.builds(
    lambda sign, lead, parts, tail: sign + lead + "/".join(parts) + tail,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/", "**/"]),
    st.lists(st.lists(_piece, min_size=1, max_size=2).map("".join), min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/**", " "]),
)
_lines = st.lists(_pattern, max_size=4)


def _understood(lines: list[str]) -> bool:
    try:
        Rules(lines)
    except ValueError:
        return False
    return True


@needs_git
@settings(max_examples=1_000 if os.environ.get("SECURECP_THOROUGH") else 50)
@given(
    paths=st.lists(_paths, min_size=1, max_size=12),
    files=st.dictionaries(st.integers(0, 11), _lines, max_size=3),
    exclude=_lines,
)
def test_any_tree_is_offered_as_git_would_take_it(
    tmp_path_factory: pytest.TempPathFactory,
    repository: Path,
    paths: list[str],
    files: dict[int, list[str]],
    exclude: list[str],
) -> None:
    assume(all(map(_understood, (exclude, *files.values()))))
    # What `?` and `[` stand for is a character here and a byte to git.
    patterns = "".join([*exclude, *(line for lines in files.values() for line in lines)])
    assume("é" not in "".join(paths) or not set("?[") & set(patterns))
    root = tmp_path_factory.mktemp("tree")
    folders = [root]
    for path in paths:
        target = root
        for part in path.split("/"):
            if target.is_file():
                break
            target = target / part
        if target.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        folders.append(target.parent)
    for where, lines in files.items():
        (folders[where % len(folders)] / ".securecpignore").write_text("\n".join(lines))
    assert offered(root, *exclude) == as_git(repository, root, *exclude)
    shutil.rmtree(root)


def test_the_nearest_file_decides_and_the_command_line_before_all(tmp_path: Path) -> None:
    make(
        tmp_path,
        {
            ".securecpignore": "*.log\n",
            "a.log": "",
            "sub/.securecpignore": "!b.log\n",
            "sub/b.log": "",
            "sub/c.log": "",
            "sub/d": "",
        },
    )
    ours = {".securecpignore", "sub/.securecpignore"}
    assert offered(tmp_path) == {"sub/b.log", "sub/d", *ours}
    assert offered(tmp_path, "b.log", "!a.log") == {"a.log", "sub/d", *ours}
    assert offered(tmp_path, ".securecpignore") == {"sub/b.log", "sub/d"}
    assert len(offered(tmp_path, ignore_files=False)) == 6


def test_exclusions_hold_for_the_names_of_what_is_named_too(tmp_path: Path) -> None:
    make(tmp_path, {"keep": "", "secret.key": "", "build/x": "", "t/build/x": "", "t/y": ""})
    found = scan(
        [tmp_path / "keep", tmp_path / "secret.key", tmp_path / "build", tmp_path / "t"],
        exclude=["*.key", "build/", "/y"],
    )
    assert [path for path, _, _ in found.listing()] == [b"keep", b"t"]
    assert found.excluded == 4
    assert not found.problems
    assert found.excluded_paths[0] == os.fsencode(tmp_path / "secret.key")


def test_a_name_that_was_not_typed_is_not_excluded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, {"build/x": ""})
    monkeypatch.chdir(tmp_path / "build")
    assert [path for path, _, _ in scan(["."], exclude=["build"]).listing()] == [
        b"build",
        b"build/x",
    ]


def test_excluded_folders_are_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, {"big/x": "", "small/y": ""})
    opened = []
    real = at.open_directory

    def spy(parent: int, name: bytes) -> int:
        opened.append(name)
        return real(parent, name)

    monkeypatch.setattr(at, "open_directory", spy)
    scan([tmp_path], exclude=["big"])
    assert opened == [os.fsencode(tmp_path.name), b"small"]


def test_what_is_excluded_is_counted_and_is_no_problem(tmp_path: Path) -> None:
    make(tmp_path, {f"{number}.o": "" for number in range(1_200)})
    os.mkfifo(tmp_path / "pipe.o")
    found = scan([tmp_path], exclude=["*.o"])
    assert found.excluded == found.total.excluded == 1_201
    assert len(found.excluded_paths) == 1_000
    assert not found.problems
    assert found.total[:5] == (0, 1, 0, 0, 0)


def test_names_that_are_not_utf8_are_matched_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.log")).touch()
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).touch()
    (tmp_path / os.fsdecode(b"\xff.bin")).touch()
    (tmp_path / ".securecpignore").write_bytes(b"caf\xe9.t*\n")
    assert offered(tmp_path, "*.log", os.fsdecode(b"\xff*")) == {".securecpignore"}


@pytest.mark.parametrize(
    "text", ["ok\n[abc", "trailing\\", "[[:nope:]]", "a/" + "**/a/" * 5, "a[/]b"]
)
def test_a_pattern_that_is_not_understood_sends_nothing_by_mistake(
    tmp_path: Path, text: str
) -> None:
    make(tmp_path, {"t/.securecpignore": text, "t/secret": "", "other": ""})
    found = scan([tmp_path])
    assert [path.partition(b"/")[2] for path, _, _ in found.listing()] == [b"", b"other", b"t"]
    [(path, why)] = found.problems
    assert path.endswith(b"/t") and ".securecpignore: line" in why
    with pytest.raises(SourceError, match="--exclude, line"):
        scan([tmp_path], exclude=text.split("\n"))


@pytest.mark.parametrize("kind", ["link", "fifo", "too large"])
def test_a_file_of_patterns_that_cannot_be_read_sends_nothing_by_mistake(
    tmp_path: Path, kind: str
) -> None:
    make(tmp_path, {"t/secret": "", "rules": "secret"})
    rules = tmp_path / "t" / ".securecpignore"
    if kind == "link":
        rules.symlink_to("../rules")
    elif kind == "fifo":
        os.mkfifo(rules)
    else:
        rules.write_bytes(b"#" * (300 << 10))
    found = scan([tmp_path / "t"])
    assert [path for path, _, _ in found.listing()] == [b"t"]
    assert ".securecpignore" in found.problems[0][1]
    assert len(list(scan([tmp_path / "t"], ignore_files=False).listing())) >= 2


def test_a_folder_of_that_name_holds_no_rules(tmp_path: Path) -> None:
    make(tmp_path, {".securecpignore/x": ""})
    assert offered(tmp_path) == {".securecpignore/x"}


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 30 + "b", "a" * 255),
        ("**/a/" * 4 + "b", "/".join("a" * 60)),
        ("a*?*?*?*?*?*?*?*?*?*?b", "a" * 255),
        ("*[ab]" * 30 + "c", "ab" * 127),
    ],
)
def test_cl_no_pattern_takes_long(pattern: str, name: str) -> None:
    rules = Rules([pattern])
    start = time.process_time()
    assert rules.verdict(name, name, folder=False) is None
    assert time.process_time() - start < 0.5


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=40))
def test_any_bytes_are_rules_or_an_error(raw: bytes, name: bytes) -> None:
    try:
        rules = Rules.parse(raw)
    except ValueError:
        return
    Filter.of(Rules([])).below(b"t").with_file(rules).excludes(name, folder=True)
