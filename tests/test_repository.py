"""What the repository promises about itself: layout, words, lock, and the list of attacks."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import grimp
import pytest

from tests.lab.faults import FAULTS

ROOT = Path(__file__).parent.parent
COMMAND = Path(sys.executable).with_name("securecp")
THIS = Path(__file__).relative_to(ROOT)
TOP_LEVEL = {
    "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "SECURITY.md", "SPEC.md", "docs",
    "examples", "keys", "pyproject.toml", "requirements.lock", "securecp", "tests",
}  # fmt: skip

# The attacks that this release answers. Each has a row in SECURITY.md, with tests or with a reason.
CLAIMED = {
    "DG": {*range(1, 18)},
    "HS": {*range(1, 21)},
    "TR": {*range(1, 24)},
    "MF": {*range(1, 25)},
    "FS": {*range(1, 22)},
    "CL": {*range(1, 18)},
    "MB": {6, 7, 9, 10, 11},
    "KC": {1, 2, 4, 6, 8, 10},
    "RV": {*range(1, 12), 14, 15},
    "RL": {*range(1, 12)},
    "F": {*range(1, 8), *range(11, 26), 29, *range(33, 46), *range(47, 51)},
}
IDS = [f"{area}-{number:02}" for area, numbers in CLAIMED.items() for number in sorted(numbers)]

# Places on the writer's machine, and how the work was shared out: of no use to a reader.
PRIVATE = [
    r"/work/|/tmp/(?:team|fresh)|/opt/(?:pypi|wheels)",
    r"\.\./(?:shared|steering)",
    r"pypi\.org|pythonhosted\.org|deb\.debian\.org|registry\.npmjs",
    r"\bissues? ?#?\d",
    r"\b(?:sub)?agents?\b|\bhelper's\b|\bthe (?:other )?helpers\b|\bCEO\b",
    r"\b(?:IFACE|STYLE|DESIGN|ATTACKS)(?:\.md| [A-Z§])",
]


def tracked() -> list[Path]:
    """Every file under version control, relative to the top."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.decode().split("\0")
        return [Path(name) for name in names if name and (ROOT / name).is_file()]
    pytest.skip("not a git checkout")


@cache
def named_tests() -> dict[str, Path]:
    """Every test function in the tree, and where it stands."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name.startswith("test_"):
                    found[node.name] = path.relative_to(ROOT)
            elif isinstance(
                node, ast.ClassDef | ast.Assign
            ):  # Hypothesis machines: TestX = X.TestCase
                names = [node.name] if isinstance(node, ast.ClassDef) else node.targets
                for name in names:
                    text = name.id if isinstance(name, ast.Name) else name
                    if isinstance(text, str) and text.startswith("Test"):
                        found[text] = path.relative_to(ROOT)
    return found


@cache
def security_rows() -> dict[str, str]:
    """The rows of SECURITY.md's table by id: `| DG-01 | … |`."""
    text = (ROOT / "SECURITY.md").read_text()
    return dict(re.findall(r"^\|\s*([A-Z]{1,2}-\d\d)\s*\|(.*)\|\s*$", text, re.MULTILINE))


def spec_sections() -> set[str]:
    """The numbers of SPEC.md's headings: 4, 4.1, 4.2, …."""
    text = (ROOT / "SPEC.md").read_text()
    return set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", text, re.MULTILINE))


def test_the_top_level_holds_only_what_a_reader_expects() -> None:
    top = {path.parts[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_tracked_files_name_no_machine_and_no_way_of_working() -> None:
    private = re.compile("|".join(PRIVATE))
    found = []
    for path in tracked():
        if path in (THIS, Path("requirements.lock")) or path.parts[:2] == ("tests", "vectors"):
            continue
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            if match := private.search(line):
                found.append(f"{path}:{number}: {match.group()}")
    assert not found, "\n".join(found)


def test_sc06_tracked_files_are_text_that_can_be_read() -> None:
    for path in tracked():
        text = (ROOT / path).read_bytes().decode()
        assert "\0" not in text, path


def test_sc02_everything_that_is_installed_is_locked_by_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "//" not in lock, "the lock names an index"
    entries = re.split(r"\n(?=\S)", lock)
    locked = {}
    for entry in entries:
        if entry.startswith("#"):
            continue
        name = re.match(r"([\w.-]+)==[\w.]+", entry)
        assert name and "--hash=sha256:" in entry, entry[:80]
        locked[name[1].lower().replace("_", "-")] = entry
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    assert {re.split(r"[<>=]", entry)[0].lower() for entry in wanted} <= set(locked)


@pytest.mark.parametrize("identifier", IDS)
def test_every_claimed_attack_has_its_test_or_a_reason(identifier: str) -> None:
    row = security_rows().get(identifier, "")
    assert row, f"SECURITY.md has no row for {identifier}"
    named = re.findall(r"`(?:[\w./]+::)?([Tt]est\w+)(?:\[[\w-]+\])?`", row)
    if not named:
        reason = re.search(r"not yet[:,]? *(.{12,})", row, re.IGNORECASE)
        assert reason, f"{identifier} has neither a test nor 'not yet' with the reason"
        return
    assert not set(named) - set(named_tests()), f"SECURITY.md names tests that are not there: {row}"
    short = identifier.replace("-", "").lower()
    bearing = re.findall(r"`([Tt]est[\w\[\]-]+)`", row)  # a case of a test bears it in brackets
    assert any(short in name.lower().replace("_", "") for name in bearing), f"no test bears {short}"


def test_security_names_only_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    named = set(re.findall(r"`(?:[\w./]+::)?(test_\w+)(?:\[[\w-]+\])?`", text))
    assert named, "SECURITY.md names no test"
    assert named <= set(named_tests())
    cases = set(re.findall(r"`test_a_transfer_goes_on\[(\w+)-([\w-]+)\]`", text))
    assert cases, "SECURITY.md names no case of the laboratory"
    short = [fault for fault in FAULTS.values() if fault.short]
    first = {fault.name: fault.ids.split(",")[0].replace("-", "").lower() for fault in short}
    assert cases <= {(identifier, name) for name, identifier in first.items()}


def test_sections_of_the_specification_are_there() -> None:
    known = spec_sections()
    assert {"4.1", "10.10", "13"} <= known
    ours = re.compile(r"SPEC((?:[\s,#*]*(?:and|to)?[\s,#*]*§\d+(?:\.\d+)?)+)|\((§1[1-9][^)\n]*)\)")
    # Sections of other documents stand behind their names.
    other = re.compile(r"(?:RFC \d+|FIPS 203|Noise|draft-[\w-]+|there) §[\d.]+(?: and §[\d.]+)?")
    wrong = []
    for path in tracked():
        text = (ROOT / path).read_text()
        if path == Path("SPEC.md"):
            places = [other.sub("", text)]
        else:
            places = ["".join(found) for found in ours.findall(text)]
        for section in re.findall(r"§(\d+(?:\.\d+)?)", " ".join(places)):
            if section not in known:
                wrong.append(f"{path}: §{section}")
    assert not wrong, "\n".join(wrong)


def test_the_readme_types_only_commands_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = set(re.findall(r"(?:^|`)\s*(?:\$ )?make (\w+)", text, re.MULTILINE))
    assert typed, "README.md shows no make command"
    assert typed <= targets
    called = re.findall(r"(?:^|`)\s*(?:\$ )?securecp (?:--home \S+ )?(\w+)", text, re.MULTILINE)
    assert {"keygen", "contacts", "send", "receive"} <= set(called)
    for word in sorted(set(called)):
        asked = subprocess.run([COMMAND, word, "--help"], capture_output=True, check=False)
        assert asked.returncode == 0, f"README.md types securecp {word}"


def test_the_installed_command_tells_its_version(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = subprocess.run(
        [COMMAND, "--version"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert project["version"] in done.stdout
    assert not list(tmp_path.iterdir())


def test_telling_the_version_loads_nothing_slow() -> None:
    code = (
        "import sys; sys.argv = ['securecp', '--version']\n"
        "from securecp.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"asyncio", "blake3", "cryptography", "msgpack", "nacl", "rich", "socket", "tomlkit"}
    assert not slow & set(done.stdout.split())


def test_dg09_no_msgpack_behind_what_strangers_can_reach() -> None:
    graph = grimp.build_graph("keys", "securecp", include_external_packages=True, cache_dir=None)
    transport = ("wire", "handshake", "cookie", "reception", "exchange")
    for module in ("securecp.noise.state", *(f"securecp.transport.{name}" for name in transport)):
        assert module in graph.modules
        for decoder in {"msgpack", "securecp.codec"} & graph.modules:
            assert graph.find_shortest_chain(importer=module, imported=decoder) is None


def test_the_change_log_speaks_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
