"""Model repositories for tests of the engines."""

from tests.repositories import publish, repository, toy

__all__ = ["publish", "repository", "toy"]
