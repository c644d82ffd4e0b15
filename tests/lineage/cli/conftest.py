"""Model repositories and exported files for tests of the commands."""

import pytest

from tests.repositories import publish, repository, toy

__all__ = ["publish", "repository", "toy"]


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory: pytest.TempPathFactory) -> "object":
    """Return the exported toy, float32, any size."""
    from tests.model_zoo.export.conftest import exported, toy

    return exported(toy(), tmp_path_factory.mktemp("toy") / "toy.onnx")
