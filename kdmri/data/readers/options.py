"""Checks of what a user writes behind `format.`."""

from kdmri.errors import ConfigurationError


def check_flags(options: object, *keys: str) -> None:
    """Check that options of a reader are true or false.

    Args:
        options: the reader.
        keys: names of the options.

    Raises:
        ConfigurationError: one is something else.
    """
    for key in keys:
        value = getattr(options, key)
        if not isinstance(value, bool):
            raise ConfigurationError(f"format.{key}={value}: must be true or false")
