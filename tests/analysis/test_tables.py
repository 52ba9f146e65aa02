import re

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from kdmri.analysis.tables import Table


def test_a_narrow_terminal_cuts_no_name_off() -> None:
    name = "attention_imitation_kd_loss.imitation-0.3_seed-1"
    table = Table("Cells", ["method", "seeds"], [[name, "3"], ["b", "1"]], ["a note"])
    console = Console(width=24)
    with console.capture() as capture:
        console.print(table.to_rich())
    lines = capture.get().splitlines()
    first = "".join(line[:17].strip() for line in lines)
    assert name in first
    assert max(map(len, lines)) <= 24


ODD = [
    "a|b",
    "a\\|b\\",
    "*loud* _soft_ __init__ attention_imitation_kd",
    "`code` <b>bold</b> [link](x) ![picture](y)",
    "5 % & &lt; #1, $x_1$ {y}^2 ~z~ | <3>",
    "[red]not red[/red] \\[x]",
    "two\nlines",
]


def test_markdown_gives_every_cell_back() -> None:
    """As a parser of GitHub's Markdown reads it, in the title and the notes as well."""
    table = Table(ODD[2], ["method", *ODD[1:]], [ODD, ODD[::-1]], [ODD[0]])
    tokens = MarkdownIt("commonmark").enable("table").parse(table.to_markdown())
    inline = [token for token in tokens if token.type == "inline"]
    assert {kind.type for token in inline[1:] for kind in token.children or []} == {"text"}
    read = ["".join(part.content for part in token.children or []) for token in inline]
    flat = [text.replace("\n", " ") for text in (ODD[2], *table.header, *ODD, *ODD[::-1], ODD[0])]
    assert read == flat
    assert "attention_imitation_kd" in table.to_markdown(), "names of directories stay readable"


def test_terminal_shows_every_cell_as_it_is() -> None:
    console = Console(width=400)
    with console.capture() as capture:
        console.print(Table(ODD[5], ["method"], [[ODD[5]]], [ODD[5]]).to_rich())
    assert capture.get().count(ODD[5]) == 3


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a_b", r"a\_b"),
        ("5 % & #1", r"5 \% \& \#1"),
        ("$x$ {y}", r"\$x\$ \{y\}"),
        ("a\\b|c", r"a\textbackslash{}b\textbar{}c"),
        ("x^2 ~ <3>", r"x\textasciicircum{}2 \textasciitilde{} \textless{}3\textgreater{}"),
        ("Δ 1 ± 2 – 3", r"$\Delta$ 1 $\pm$ 2 -- 3"),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_has_no_command_that_a_cell_wrote(text: str, written: str) -> None:
    latex = Table("T", ["", text], [["x", text]], []).to_latex()
    assert f" & {written} \\\\" in latex
    assert f"x & {written} \\\\" in latex


def test_a_title_or_note_of_several_lines_stays_a_comment() -> None:
    latex = Table("T\n\\input{x}", [""], [], ["note\n\\input{y}"]).to_latex()
    assert [line for line in latex.splitlines() if "input" in line] == [
        r"% T \input{x}",
        r"% note \input{y}",
    ]
    assert re.search(r"^\\begin", latex, re.M)
