"""What the documents tell people to type exists: commands, options, programs, targets, Python that compiles."""

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from SpineAnalysisLib.cli import _parser
from SpineAnalysisLib.cohort.command import bids_parser

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").glob("*.md"))]
OTHERS = {"--cpu", "--no-stalling", "--cov", "--seeds", "--numprocesses"}
"""Options of other people's programs and of Utilities that prose speaks of."""


def commands() -> dict[str, argparse.ArgumentParser]:
    """``spine-analysis run`` and the like, with their parsers."""
    main = _parser()
    (sub,) = (action for action in main._actions if isinstance(action, argparse._SubParsersAction))
    return {"spine-analysis": main, "spine-analysis-bids": bids_parser(),
            **{f"spine-analysis {name}": parser for name, parser in sub.choices.items()}}


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def typed() -> Iterator[tuple[str, str]]:
    """Lines of code blocks that are no Python, and code in sentences; continued lines as one."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:sh|bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            lines = re.sub(r"\n {8,}", " ", block).splitlines()
            yield from ((path.name, line.partition("#")[0]) for line in lines)
        yield from ((path.name, code) for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def called(line: str) -> str | None:
    """The command of this project that a line calls, with its subcommand."""
    words = re.sub(r"^\S*/(?=spine-analysis)", "", line.strip()).split()
    if not words or words[0] not in ("spine-analysis", "spine-analysis-bids"):
        return None
    return " ".join(words[:2]) if len(words) > 1 and re.fullmatch("[a-z]+", words[1]) else words[0]


def test_commands_and_their_options_exist() -> None:
    known = commands()
    seen = set()
    for document, line in typed():
        command = called(line)
        if command is None:
            continue
        seen.add(command)
        assert command in known, f"{document}: {line}"
        written = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line))
        assert written <= options(known[command]), f"{document}: {line}"
    assert {"spine-analysis run", "spine-analysis cohort", "spine-analysis series", "spine-analysis-bids"} <= seen


def test_options_in_sentences_exist() -> None:
    known = OTHERS.union(*map(options, commands().values()))
    unknown = {(document, option) for document, line in typed() if called(line) is None and " " not in line.strip()
               for option in re.findall(r"^--[a-z][a-z-]*", line) if option not in known}
    assert unknown == set()


def test_programs_and_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    lines = [(document, shlex.split(line, posix=False)) for document, line in typed() if "'" not in line]
    made = {(document, words[1]) for document, words in lines if len(words) > 1 and words[0] == "make"}
    assert {target for _, target in made} <= targets
    programs = {(document, word) for document, words in lines for word in words
                if word.startswith("Utilities/") and word.endswith(".py")}
    assert [entry for entry in programs if not (REPOSITORY / entry[1]).is_file()] == []
    assert made
    assert programs


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere_and_python_compiles(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        ast.parse(block)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (path.parent / link).exists()] == []
