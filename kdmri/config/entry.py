"""What all commands share: how they print, and how they fail."""

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.markup import escape

from kdmri.config.checks import CONFIGS, register_resolvers
from kdmri.config.values import Kinds, check
from kdmri.config.words import check_packages, check_words, description
from kdmri.console import console
from kdmri.errors import KdmriError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

FULL_ERROR = "HYDRA_FULL_ERROR"
OWN_ERROR = "KDMRI_FULL_ERROR"
"""Set beside the former where this program sets it, for the processes that it starts."""


def entry_point(
    config: str, table: Kinds
) -> Callable[[Callable[[DictConfig], Result]], Callable[[], Result]]:
    """Make a function a command, whose configuration Hydra composes and whose errors take a line.

    Its words and values are checked before the function is called.

    Args:
        config: name of the file in `configs/` that the command's words override.
        table: which values its keys may have, where their shipped values do not say it.
    """

    def decorate(main: Callable[[DictConfig], Result]) -> Callable[[], Result]:
        def checked(values: DictConfig) -> Result:
            check(values, table)
            check_packages(values)
            return main(values)

        composed = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config)
        run = _one_line_composition(
            composed(one_line_errors(functools.wraps(main)(checked))), config
        )

        @functools.wraps(main)
        def command() -> Result:
            register_resolvers()
            one_line_errors(check_words)(sys.argv[1:])
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
            if not isinstance(mended, KdmriError) and _shows_tracebacks():
                raise
            _print_error(str(mended) if isinstance(mended, KdmriError) else _with_place(mended))
            if _is_job():
                raise CompactHydraException(f"a job of the sweep failed: {mended}") from None
            sys.exit(2)
        except Exception as error:
            if _is_job():  # Hydra tells of the first one that failed alone
                traceback.print_exc()
                raise CompactHydraException(f"a job of the sweep failed: {error!r}") from error
            raise

    return wrapped


def _is_job() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def _shows_tracebacks() -> bool:
    """Whether the user set HYDRA_FULL_ERROR, and not this program."""
    return FULL_ERROR in os.environ and OWN_ERROR not in os.environ


def _with_place(error: Exception) -> str:
    """Say what is wrong, with the place in the code of what could not be built."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if cause is error:
        return description(error)
    frames = traceback.extract_tb(cause.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{description(error)} ({type(cause).__name__}{place}: {cause})"


def _one_line_composition(main: Callable[[], Result], config: str) -> Callable[[], Result]:
    """Print what Hydra finds wrong with the command's words as one line and exit with code 2.

    Hydra itself would print several and advise to add what was mistyped. With HYDRA_FULL_ERROR=1
    in the environment its own traceback is shown.
    """

    @functools.wraps(main)
    def wrapped() -> Result:
        if _shows_tracebacks():
            return main()
        os.environ |= {FULL_ERROR: "1", OWN_ERROR: "1"}  # or Hydra would end the process itself
        try:
            return main()
        except (HydraException, OmegaConfBaseException) as error:
            _print_error(description(error, config))
            sys.exit(2)
        finally:
            os.environ.pop(FULL_ERROR, None)
            os.environ.pop(OWN_ERROR, None)

    return wrapped


def _print_error(text: str) -> None:
    description = " ".join(
        part.strip() for part in text.splitlines()
    )  # libraries tell in several lines
    line = f"[bold red]error[/]: {escape(description)}"
    console(stderr=True).print(line, highlight=False, soft_wrap=True)
