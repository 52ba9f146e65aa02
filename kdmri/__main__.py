"""One command for all that kdmri does: `kdmri --help`.

Nothing is imported here but what the standard library has, so that the list of commands, and the
completion of their names, come at once.
"""

import importlib
import os
import re
import sys
from importlib.metadata import version

COMMANDS = {
    "train": ("kdmri.train", "train the stages of a distillation, then measure them"),
    "evaluate": ("kdmri.evaluate", "measure trained stages again, without training"),
    "prepare": (
        "kdmri.prepare.__main__",
        "bring scans of any format to the h5 layout, or check them",
    ),
    "reconstruct": ("kdmri.reconstruct.__main__", "reconstruct scans with a trained network"),
    "serve": ("kdmri.serve.__main__", "serve trained networks to scanners (ISMRMRD's protocol)"),
    "export": (
        "kdmri.export.__main__",
        "write a trained network for ONNX, OpenVINO, torch.export",
    ),
    "report": ("kdmri.report.__main__", "one HTML page of all experiments, with a viewer"),
    "compare": ("kdmri.compare", "compare methods: paired differences with intervals"),
    "collect": ("kdmri.collect", "one table of all that was measured"),
    "import": (
        "kdmri.import_original.__main__",
        "make a stage of a checkpoint of the original project, or of fastMRI's VarNet or U-Net",
    ),
    "benchmark": ("kdmri.benchmark.__main__", "time the suite beside a plain implementation"),
    "recovery": ("kdmri.benchmark.recovery", "kill trainings at random moments and resume them"),
}
"""Module and purpose of each command; a module's `main` reads `sys.argv`."""

COMPLETION = ("-sc", "--shell-completion")
COMPLETED_LINE = "COMP_LINE"


def main() -> None:
    """Run the command that the first word names; without one, list them."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(_help())
    elif words[0] == "--version":
        print(f"kdmri {version('kdmri')}")
    elif words[0] in COMPLETION:
        _complete()
    elif words[0] in COMMANDS:
        _run(words[0])
    else:
        print(f"error: {words[0]}: {_unknown(words[0])}", file=sys.stderr)
        sys.exit(2)


def _run(name: str) -> None:
    """Run a command as if its words were those of a program of its own."""
    sys.argv = [sys.argv[0], *sys.argv[2:]]
    try:
        importlib.import_module(COMMANDS[name][0]).main()
        sys.stdout.flush()
    except BrokenPipeError:  # what read the output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _complete() -> None:
    """Serve Hydra's completion of shells: the names of commands here, their words there.

    The shell hands over the whole line, in which the command's name stands between this program's
    and the words that Hydra knows.
    """
    line = os.environ.get(COMPLETED_LINE, "").lstrip().split(maxsplit=2)
    if len(line) > 1 and line[1] in COMMANDS:
        os.environ[COMPLETED_LINE] = " ".join([line[0], *line[2:]])
        importlib.import_module(COMMANDS[line[1]][0]).main()
    elif line:
        print(" ".join(COMMANDS))
    else:  # `install=bash` and its like, which know nothing of a command
        importlib.import_module(COMMANDS["train"][0]).main()


def _help() -> str:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items())
    return f"""kdmri: small, fast networks for accelerated MRI, taught by large ones

usage: kdmri COMMAND [key=value ...]

{listed}

kdmri COMMAND --help lists a command's choices, kdmri --version says which version this is.
Completion in bash: eval "$(kdmri -sc install=bash)"; zsh and fish likewise."""


def _unknown(word: str) -> str:
    import difflib

    if re.fullmatch(r"[\w@./+~-]+=.*", word):
        return f"a command comes first, such as: kdmri train {word}"
    close = difflib.get_close_matches(word, COMMANDS, n=1)
    meant = f"; did you mean {close[0]}?" if close else "."
    return f"there is no such command{meant} Commands: {', '.join(COMMANDS)}"


if __name__ == "__main__":
    main()
