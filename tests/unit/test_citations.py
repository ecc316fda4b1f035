"""Everything that is cited is in the repository: sections, rules, decisions, files.

The finders are plain functions over a text; what they find and what they leave alone is tested
first, then the whole repository. This file is left out, because its examples are wrong on purpose.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

THIS = Path(__file__).resolve()
ROOT = THIS.parents[2]
SPECIFICATION = (ROOT / "SPECIFICATION.md").read_text("utf-8")
FOLDERS = ("gateway", "tests", "etc", "packaging", "pointmaps", "systemd", "debian")
MADE = {"__pycache__", "build", "dist", "node_modules"}  # by tools; also whatever is hidden
# In a package build the tree is copied to debian/<package>: those are folders beside our files.
BUILT = {"debian/bess-gateway", "debian/tmp"}
NO_TEXT = {".csv", ".lock", ".png", ".pyc", ".svg", ".txt", ".whl"}
LARGEST = 1 << 20  # bytes

# A standard's name right before "section" says that the section is not ours.
FOREIGN = re.compile(
    r"(?:RFC \d+|MQTT(?: [\d.]+)?|IE(?:EE|C)(?: Std)? [\d.-]+|TOML(?: [\d.]+)?|AN\d{4}-\d{3}"
    r"|Debian Policy|SQLite)(?:'s)?[,:;]?\s*(?:in )?\Z"
)
_NUMBER = r"\d+(?:\.\d+)*"
_NUMBERS = rf"{_NUMBER}(?:(?:,|,? and|,? or| to) {_NUMBER})*"
CITED = re.compile(
    rf"\b[Ss]ection(?: (?P<one>{_NUMBER})|s (?P<several>{_NUMBERS}))"
    r"(?:, \"(?P<title>[^\"\n]{1,80}?),?\")?"
)
RULE = re.compile(r"(?<![\w:/-])(?<!\w\.)(?:I[1-9]\d?|M\d\d|P\d|L\d)(?![\w-]|\.\d)")
DEFINED = re.compile(r"^(?:- (?:\*\*)?([IP]\d{1,2})(?:\*\*)? |\| ([ML]\d{1,2}) \|)", re.MULTILINE)
DECISION = re.compile(r"\b[Dd]ecisions?[/ ](\d{4}(?:(?:,|,? and|,? or| to) \d{4})*)\b")
BEFORE = 40  # characters in front of a citation in which a standard's name would stand
# Papers that we have read and that are not here. An underscore, too: names of tests are read.
PAPER = re.compile(
    r"\b\d-[a-z]+\.md\b"
    r"|\bshared/design\b"
    r"|\bresearch/[a-z]+\.md\b"
    r"|function[ _]+description"
    r"|(?:sentence|bounds|example|those|table|rules?)[ _]+of[ _]+the[ _]+description(?![a-z])"
    r"|(?<![a-z])(?:the|as)[ _]+design(?:ed)?(?![a-z])"
    r"|(?<![a-z_])design:"
)
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
WEB = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


# --- finders -----------------------------------------------------------------------------------


@cache
def joined(text: str) -> str:
    """``text`` in one line, without marks of comments: a citation may be broken over two."""
    lines = re.sub(r"\n[ \t]*(?:#+|//|\*|>|\.\\\")?", " ", text)
    return re.sub(r"[ \t]+", " ", lines)


def sections(text: str) -> list[tuple[str, str]]:
    """Sections of ours that ``text`` cites: number, and the heading below it or "".

    Of "3 to 5" the ends are found.
    """
    if "ection" not in text:
        return []
    whole = joined(text)
    return [
        (number, match["title"] or "")
        for match in CITED.finditer(whole)
        if not FOREIGN.search(whole[max(0, match.start() - BEFORE) : match.start()])
        for number in re.findall(_NUMBER, match["one"] or match["several"])
    ]


def rules(text: str) -> list[str]:
    """Codes of rules that ``text`` cites: I1, M01, P1, L0."""
    return [match[0] for match in RULE.finditer(text)]


def decisions(text: str) -> list[str]:
    """Numbers of decisions that ``text`` cites."""
    found = DECISION.findall(joined(text)) if "ecision" in text else []
    return [number for numbers in found for number in re.findall(r"\d{4}", numbers)]


def papers(text: str) -> list[str]:
    """Words in ``text`` that name a paper which is not in the repository."""
    whole = joined(text).lower()
    worth = any(word in whole for word in ("desig", "description", ".md"))
    return PAPER.findall(whole) if worth else []


def links(text: str) -> list[str]:
    """Files that a Markdown text links to, as it says them, without anchors."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    targets = (target.partition("#")[0] for target in LINK.findall(prose))
    return [target for target in targets if target and not WEB.match(target)]


def headings(specification: str) -> dict[str, frozenset[str]]:
    """Sections of the specification by number: the headings below each."""
    found = {}
    for part in re.split(r"^(?=## \d)", specification, flags=re.MULTILINE)[1:]:
        number = re.match(r"## (\d+)\. \S", part)
        if number:
            below = re.findall(r"^### (.+?)(?: †)?$", part, flags=re.MULTILINE)
            found[number[1]] = frozenset(below)
    return found


def defined(specification: str) -> frozenset[str]:
    """Codes of rules that the specification has a row or an item for."""
    return frozenset(code for pair in DEFINED.findall(specification) for code in pair if code)


def quotable(text: str) -> str:
    """``text`` without space, emphasis, columns and marks of items: what a quotation keeps."""
    items = re.sub(r"^(?: *- | *\d+\. | +)", "", text, flags=re.MULTILINE)
    return re.sub(r"[`*|\\†\s]", "", items)


# --- the finders themselves ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the retry table of section 6, as written", ["6"]),
        ("Sections 6 and 7", ["6", "7"]),
        ("sections 3, 4 and 5; 6 volts", ["3", "4", "5"]),
        ("as in section 6, 3 s later", ["6"]),
        ("SPECIFICATION.md, section 7: the bounds", ["7"]),
        ("# the function of section\n    # 8 is", ["8"]),
        ("section 7.2", ["7.2"]),
        ("RFC 7515, section 4.1.8", []),
        ("(RFC 8878, sections 3.1.1.1 to 3.1.1.3)", []),
        ("# RFC 8878,\n# sections 3.1.1.1 to 3.1.1.3", []),
        ("MQTT 5, section 2.4; section 5 says", ["5"]),
        ("MQTT is used as section 5 says", ["5"]),
        ("IEEE 1815-2012, section 11.6", []),
        ("RFC 7515 is used as section 6 says", ["6"]),
        ("a section of 6 lines, intersection 7", []),
    ],
)
def test_sections_of_ours_are_found_and_those_of_standards_are_not(
    text: str, found: list[str]
) -> None:
    assert [number for number, _ in sections(text)] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('as section 7, "E-stop", says', [("7", "E-stop")]),
        ('section 7, "Bounds"', [("7", "Bounds")]),
        ('section 7 says "Bounds"', [("7", "")]),
    ],
)
def test_a_heading_below_a_section_is_cited_in_quotation_marks(
    text: str, found: list[tuple[str, str]]
) -> None:
    assert sections(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I1 to I14 hold", ["I1", "I14"]),
        ("M01..M20, each (M12)", ["M01", "M20", "M12"]),
        ("P6 and L0", ["P6", "L0"]),
        ("I99", ["I99"]),
        ("IIN1.7, AI1, BI10, I001, AM01, sha-I1, M1", []),
        ("point AI47 of map 1.P1", []),
    ],
)
def test_codes_of_rules_are_found(text: str, found: list[str]) -> None:
    assert rules(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(decision 0013)", ["0013"]),
        ("decisions 0002 and 0003", ["0002", "0003"]),
        ("packaging/decisions/0016-counters.md", ["0016"]),
        ("Decision\n0099", ["0099"]),
        ("a decision of 2026", []),
    ],
)
def test_decisions_are_found(text: str, found: list[str]) -> None:
    assert decisions(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "1-function.md, section 7",
        "2-structure.md: Threads",
        "Source: the function description",
        "the\n# function description, section 7",
        "Each sentence of the description",
        "def test_pragmas_are_what_the_design_says() -> None:",
        "def test_the_bounds_are_those_of_the_description() -> None:",
        "allow control as designed",
        "# design: back-off with jitter",
        "see shared/design/6-interfaces.md",
        "research/view.md, section 6",
    ],
)
def test_a_paper_that_is_not_here_is_found(text: str) -> None:
    assert papers(text)


@pytest.mark.parametrize(
    "text",
    [
        "SPECIFICATION.md, section 7",
        "as the specification says",
        "whether the description of the asset changed",
        "the descriptions of points",
        "it is designed so",
        "redesign: no",
        "packaging/decisions/0001-dnp3-binding.md",
        "tests/report/README.md",
    ],
)
def test_words_that_only_look_like_a_paper_are_left_alone(text: str) -> None:
    assert papers(text) == []


def test_links_to_files_are_found_and_addresses_anchors_and_code_are_not() -> None:
    text = (
        "[a](docs/a.md) ![b](b.png) [c](c.md#part) [d](#part) [e](https://example.com/x)\n"
        "`[f](f.md)` [g](mailto:x@example.com)\n```\n[h](h.md)\n```\n[i](../i.md 'x') [j](<j.md>)\n"
    )
    assert links(text) == ["docs/a.md", "b.png", "c.md", "j.md"]


def test_headings_and_rules_of_a_specification_are_read() -> None:
    text = (
        "# T\n## 6. Control\n### Limits\n### E-stop †\n- I1 one.\n- **P1** one\n| M01 | x |\n"
        "## 7. Watchdog\n| L0 | x |\n- I15 † x\nI2 in prose, ## 8. no heading\n"
    )
    assert headings(text) == {"6": frozenset({"Limits", "E-stop"}), "7": frozenset()}
    assert defined(text) == {"I1", "P1", "M01", "L0", "I15"}


# --- the repository ------------------------------------------------------------------------------


def files() -> Iterator[Path]:
    """Text files of the repository, made ones left out; the same with git and without."""
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file())
    for name in FOLDERS:
        for folder, below, names in os.walk(ROOT / name):
            where = Path(folder)
            below[:] = sorted(
                one
                for one in below
                if not one.startswith(".")
                and one not in MADE
                and not one.endswith(".egg-info")
                and (where / one).relative_to(ROOT).as_posix() not in BUILT
            )
            yield from (where / one for one in sorted(names))


@cache
def texts() -> dict[str, str]:
    """Content of every text file but this one and the licence, by its path."""
    found = {}
    for path in files():
        if path.resolve() == THIS or path.name == "LICENSE" or path.name.startswith("."):
            continue
        if path.suffix in NO_TEXT or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        try:
            found[path.relative_to(ROOT).as_posix()] = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
    return found


def broken(
    find: Callable[[str], Iterable[object]], good: Callable[[object], bool], tail: str = ""
) -> list[str]:
    """What ``find`` finds in any file whose path ends with ``tail``, and that is not ``good``."""
    return [
        f"{path}: {one}"
        for path, text in texts().items()
        if path.endswith(tail)
        for one in find(text)
        if not good(one)
    ]


def test_the_repository_is_read() -> None:
    assert {"README.md", "SPECIFICATION.md", "tests/SENTENCES.md", "setup.cfg"} <= texts().keys()
    assert len(texts()) > 400
    cited = [number for text in texts().values() for number, _ in sections(text)]
    assert len(cited) > 20


def test_every_section_that_is_cited_is_in_the_specification() -> None:
    known = headings(SPECIFICATION)
    assert known.keys() == {str(number) for number in range(11)}

    def is_there(one: object) -> bool:
        assert isinstance(one, tuple)
        number, title = one
        return number in known and (not title or title in known[number])

    assert broken(sections, is_there) == []


def test_every_rule_that_is_cited_is_in_the_specification() -> None:
    known = defined(SPECIFICATION)
    wanted = {f"I{n}" for n in range(1, 18)} | {f"P{n}" for n in range(1, 8)}
    wanted |= {f"M{n:02}" for n in range(1, 32)} | {f"L{n}" for n in range(7)}
    assert known == wanted
    assert broken(rules, known.__contains__) == []


def test_every_decision_that_is_cited_exists() -> None:
    known = {path.name[:4] for path in (ROOT / "packaging/decisions").glob("[0-9]*.md")}
    assert broken(decisions, known.__contains__) == []


def test_no_file_cites_a_paper_that_is_not_in_the_repository() -> None:
    assert broken(papers, lambda _: False) == []


def test_every_file_that_a_markdown_text_links_to_exists() -> None:
    missing = [
        f"{path}: {target}"
        for path, text in texts().items()
        if path.endswith(".md")
        for target in links(text)
        if not ((ROOT / path).parent / target).exists()
    ]
    assert missing == []


def test_a_section_with_a_rule_that_is_not_followed_yet_says_what_happens_instead() -> None:
    parts = re.split(r"^(?=## \d)", SPECIFICATION, flags=re.MULTILINE)[1:]
    for part in parts:
        rule, _, instead = part.partition("\nNot yet:\n")
        assert ("†" in rule) is ("\n- **" in instead), part.splitlines()[0]
        assert "†" not in instead


def test_the_sentences_of_the_table_stand_in_the_specification() -> None:
    parts = re.split(r"^(?=## \d)", SPECIFICATION, flags=re.MULTILINE)
    said = "".join(quotable(part) for part in parts if part.startswith(("## 6.", "## 7.")))
    cells = [
        line.rpartition(" | ")[0].removeprefix("| ")
        for line in texts()["tests/SENTENCES.md"].splitlines()
        if line.startswith("| ") and not line.startswith("| sentence")
    ]
    assert len(cells) > 120
    assert [part for cell in cells for part in cell.split("…") if quotable(part) not in said] == []
