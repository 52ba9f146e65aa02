"""What all commands share: how they print, and how they fail."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from kdmri.composition import told
from kdmri.errors import KdmriError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LOG_WIDTH = 120
FULL_ERROR = "HYDRA_FULL_ERROR"


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
            _print_error(str(mended) if isinstance(mended, KdmriError) else told(mended))
            if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
                raise CompactHydraException(f"a job of the sweep failed: {mended}") from None
            sys.exit(2)

    return wrapped


def one_line_composition(main: Callable[[], Any]) -> Callable[[], Any]:
    """Print what Hydra finds wrong with the command's words as one line and exit with code 2.

    Hydra itself would print several and advise to add what was mistyped. With HYDRA_FULL_ERROR=1
    in the environment its own traceback is shown.
    """

    @functools.wraps(main)
    def wrapped() -> Any:
        if FULL_ERROR in os.environ:
            return main()
        os.environ[FULL_ERROR] = "1"  # or Hydra would end the process by itself
        try:
            return main()
        except (HydraException, OmegaConfBaseException) as error:
            _print_error(told(error))
            sys.exit(2)
        finally:
            os.environ.pop(FULL_ERROR, None)

    return wrapped


def _print_error(text: str) -> None:
    line = f"[bold red]error[/]: {escape(text)}"
    console(stderr=True).print(line, highlight=False, soft_wrap=True)
