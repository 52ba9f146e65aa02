"""One table for the terminal, Markdown and LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.console import JustifyMethod
from rich.table import Table as RichTable


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
            title=self.title,
            caption="\n".join(self.notes),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for number, name in enumerate(self.header):
            justify: JustifyMethod = "right" if number else "left"
            table.add_column(name, justify=justify, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table

    def to_markdown(self) -> str:
        """Write GitHub's Markdown."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.header, rule, *self.rows)]
        notes = [f"{note}  " for note in self.notes]
        return "\n".join([f"**{self.title}**", "", *lines, "", *notes, ""])

    def to_latex(self) -> str:
        """Write a booktabs tabular."""
        columns = "l" + "r" * (len(self.header) - 1)
        body = [" & ".join(map(_latex, row)) + r" \\" for row in self.rows]
        return "\n".join(
            [
                f"% {self.title}",
                *(f"% {note}" for note in self.notes),
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
    """Escape what LaTeX would read as a command."""
    for plain, escaped in (
        ("%", r"\%"),
        ("&", r"\&"),
        ("_", r"\_"),
        ("±", r"$\pm$"),
        ("\u2013", "--"),
    ):
        text = text.replace(plain, escaped)
    return text
