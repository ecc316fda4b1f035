"""What README and man pages say of the command line is so, and nothing of it is left out."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.cli import main
from tests.fixtures.daemon import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

MAN = ROOT / "packaging/man"
PAGES = {path.name: path.read_text() for path in sorted(MAN.glob("*.[58]"))}
DISPATCH = PAGES["bess-gateway-dispatch.8"]
README = (ROOT / "README.md").read_text()


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Each command with its options."""

    def below(
        one: argparse.ArgumentParser, words: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], set[str]]]:
        options = {
            option
            for action in one._actions
            for option in action.option_strings
            if option.startswith("--") and option not in ("--help", "--config", "--version")
        }
        subs = [one for one in one._actions if isinstance(one, argparse._SubParsersAction)]
        if words and not subs:
            yield words, options
        for sub in subs:
            for name, child in sub.choices.items():
                yield from below(child, (*words, name))

    return below(parser, ())


ALL = dict(commands(main._parser()))


def plain(page: str) -> str:
    """A man page as it reads: without roff's escapes, quotes and macros."""
    text = re.sub(r"\\f[A-Z]", "", page).replace("\\-", "-").replace("\\(dq", '"')
    text = re.sub(r"^\.(B|BR|I|RI|IR|BI|RB|SH|SS|TP|EX|EE)\b ?", "", text, flags=re.MULTILINE)
    return re.sub(r"[ \n]+", " ", text.replace('"', ""))


def page_of(words: tuple[str, ...]) -> str:
    return plain(DISPATCH if words[0] == "dispatch" else PAGES["bess-gateway.8"])


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_each_command_and_option_has_its_place_in_the_man_page(words: tuple[str, ...]) -> None:
    page = page_of(words)
    shown = words[1:] if words[0] == "dispatch" else words
    assert " ".join(shown) in page
    missing = {one for one in ALL[words] if one not in page and one not in plain(DISPATCH)}
    assert missing == set()


def said(text: str) -> set[str]:
    """Command lines that a document tells people to type."""
    found = set(re.findall(r"^\s*(?:\$ |# )?(bess-gateway [a-z][^#`|&;<>\n]*)", text, re.MULTILINE))
    found |= set(re.findall(r"`(bess-gateway [a-z][^`|&;<>]*)`", text))
    return {one.strip() for one in found}


TYPED = sorted(said(README))


@pytest.mark.parametrize("line", TYPED)
def test_what_the_readme_tells_to_type_is_a_command(line: str) -> None:
    words = shlex.split(line)[1:]
    known = max((one for one in ALL if tuple(words[: len(one)]) == one), key=len, default=None)
    if known is None:
        assert any(one[: len(words)] == tuple(words) for one in ALL), line
        return
    options = {one.partition("=")[0] for one in words if one.startswith("--")}
    assert options <= {*ALL[known], "--config"}, line


def test_no_document_denies_control() -> None:
    for name, text in {"README.md": README, **PAGES}.items():
        assert "this version only monitors" not in plain(text), name
    site = plain(PAGES["bess-gateway-site.toml.5"])
    assert "without safety.toml it has no effect" in site  # of enforce; with one it has


def test_the_files_that_are_named_are_shipped() -> None:
    for name in re.findall(r"([\w.-]+\.toml\.example)", README + "".join(PAGES.values())):
        assert (ROOT / "etc" / name).exists(), name


COMPLETION = ROOT / "packaging/completion/bash/bess-gateway"


def test_the_completion_is_that_of_the_parser() -> None:
    made = [sys.executable, str(ROOT / "packaging/make-completion"), "--check"]
    ended = subprocess.run(made, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("st", "status"),
        ("commission dead", "deadman-test"),
        ("maps import --sh", "--sheet"),
        ("audit show --last 5 --js", "--json"),
        ("status --config x --js", "--json"),
    ],
)
def test_a_shell_completes_commands_and_options(typed: str, found: str) -> None:
    script = (
        'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _bess_gateway; '
        'echo "${COMPREPLY[*]}"'
    )
    command = ["bash", "-c", script, str(COMPLETION), "bess-gateway", *typed.split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [found]
