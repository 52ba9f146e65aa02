import numpy as np
import pytest


@pytest.fixture(scope="session")
def stored(anatomy: np.ndarray) -> np.ndarray:
    """The anatomy as a scanner stores it: (48, 40, 36), uint16."""
    return np.round(anatomy * 4095).astype(np.uint16)
