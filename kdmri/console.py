"""What all commands share: how they print, and how they fail."""

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.markup import escape

from kdmri.composition import told
from kdmri.configuration import CONFIGS
from kdmri.errors import KdmriError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LOG_WIDTH = 120
FULL_ERROR = "HYDRA_FULL_ERROR"


def console(stderr: bool = False) -> Console:
    """Give a console as wide as the terminal, or wide enough for a table where there is none."""
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=LOG_WIDTH)


def entry_point(
    config: str, check: Callable[[list[str]], None] | None = None
) -> Callable[[Callable[[DictConfig], Result]], Callable[[], Result]]:
    """Make a function a command, whose configuration Hydra composes and whose errors take a line.

    Args:
        config: name of the file in `configs/` that the command's words override.
        check: looks at the words before Hydra does.
    """

    def decorate(main: Callable[[DictConfig], Result]) -> Callable[[], Result]:
        composed = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config)
        run = _one_line_composition(composed(one_line_errors(main)))

        @functools.wraps(main)
        def command() -> Result:
            if check is not None:
                one_line_errors(check)(sys.argv[1:])
            return run()

        return command

    return decorate


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


def _one_line_composition(main: Callable[[], Result]) -> Callable[[], Result]:
    """Print what Hydra finds wrong with the command's words as one line and exit with code 2.

    Hydra itself would print several and advise to add what was mistyped. With HYDRA_FULL_ERROR=1
    in the environment its own traceback is shown.
    """

    @functools.wraps(main)
    def wrapped() -> Result:
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
