from rich.console import Console

from kdmri.reporting.tables import Table


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
