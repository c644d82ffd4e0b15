"""Recipes: one module per family, whose `recipe(variant)` returns the recipe of a variant."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from training.recipe import Recipe


def recipe_of(variant: str) -> Recipe:
    """Return the recipe of a variant.

    Raises:
        LineageError: There is no recipe for the family.
    """
    family = registry.family_of(variant)
    module = f"{__name__}.{family}"
    if find_spec(module) is None:
        raise LineageError(f"{variant}: expected a variant that can be trained; there is no recipe for {family}")
    recipe: Recipe = import_module(module).recipe(variant)
    return recipe
