import pytest

from tests.conftest import Result
from tests.reconstruct.expected import Run


@pytest.fixture
def reconstruct(run: Run) -> Run:
    def call(*overrides: object, **keys: object) -> Result:
        words = [f"{key}={value}" for key, value in keys.items()]
        return run("kdmri/reconstruct/__main__.py", *map(str, overrides), *words)

    return call
