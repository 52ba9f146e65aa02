"""What all commands share: how they print, and how they fail."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode
from rich.console import Console
from rich.markup import escape

from kdmri.errors import KdmriError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LOG_WIDTH = 120


def console(stderr: bool = False) -> Console:
    """Give a console as wide as the terminal, or wide enough for a table where there is none."""
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=LOG_WIDTH)


def one_line_errors(main: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Print an error that a user can mend as one line on standard error and exit with code 2.

    A job of a sweep raises it instead, once printed, so that the other jobs run all the same.
    """

    @functools.wraps(main)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return main(*args, **kwargs)
        except (KdmriError, InstantiationException) as error:
            mended = error.__cause__ if isinstance(error.__cause__, KdmriError) else error
            text = f"[bold red]error[/]: {escape(str(mended))}"
            console(stderr=True).print(text, highlight=False, soft_wrap=True)
            if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
                raise CompactHydraException(f"a job of the sweep failed: {mended}") from None
            sys.exit(2)

    return wrapped
