import pytest

from tests.conftest import Result
from tests.inference.expected import Run


@pytest.fixture
def reconstruct(run: Run) -> Run:
    def call(*overrides: object, **keys: object) -> Result:
        words = [f"{key}={value}" for key, value in keys.items()]
        return run("kdmri/reconstruct.py", *map(str, overrides), *words)

    return call
