"""One table for the terminal, Markdown and LaTeX."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table as RichTable

LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "%&_#${}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        "Δ": r"$\Delta$",
        "\u2013": "--",
    }
)
"""What stands for a sign in a LaTeX table."""

MARKUP = re.compile(r"[\\|*`<&\[\]~$]|(?<![^\W_])_|_(?![^\W_])")
"""Signs of Markdown's own; dollars, too, between which GitHub sees a formula."""


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: one line.
        header: names of the columns; the first is aligned left, all others right.
        rows: as many cells each.
        notes: lines that have to be read with the table.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]

    def to_rich(self) -> RichTable:
        """Lay it out for a terminal."""
        table = RichTable(
            title=escape(self.title),
            caption=escape("\n".join(self.notes)),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for number, name in enumerate(self.header):
            justify: JustifyMethod = "right" if number else "left"
            table.add_column(escape(name), justify=justify, overflow="fold")
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

    def to_markdown(self) -> str:
        """Write GitHub's Markdown."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        texts = [list(map(_markdown, cells)) for cells in (self.header, *self.rows)]
        lines = ["| " + " | ".join(cells) + " |" for cells in (texts[0], rule, *texts[1:])]
        notes = [f"{_markdown(note)}  " for note in self.notes]
        return "\n".join([f"**{_markdown(self.title)}**", "", *lines, "", *notes, ""])

    def to_latex(self) -> str:
        """Write a booktabs tabular."""
        columns = "l" + "r" * (len(self.header) - 1)
        body = [" & ".join(map(_latex, row)) + r" \\" for row in self.rows]
        return "\n".join(
            [
                *(f"% {_one_line(text)}" for text in (self.title, *self.notes)),
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                " & ".join(map(_latex, self.header)) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                "",
            ]
        )


def with_deviation(values: Sequence[float] | np.ndarray, digits: str) -> str:
    """Write a mean, with one standard deviation where there are several values."""
    mean = f"{np.mean(values):{digits}}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):{digits}}"


def _latex(text: str) -> str:
    """Escape what LaTeX would read as a command, or has no sign for in its plainest encoding."""
    return _one_line(text).translate(LATEX)


def _markdown(text: str) -> str:
    """Escape what Markdown would read as the border of a cell or as emphasis, code, link or HTML.

    An underscore within a word, as in names of directories, is none of these and stays readable.
    """
    return MARKUP.sub(r"\\\g<0>", _one_line(text))


def _one_line(text: str) -> str:
    """Join lines, which would end a cell or a comment."""
    return " ".join(text.splitlines())
