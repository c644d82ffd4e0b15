"""Importers of official weights. The original key names appear in this package only.

The importer of a family is the module of its name, with two functions. Files without keys need only the first.

    from_state_dict(variant, state) -> Detector       # `state` has the original key names
    identify(state) -> Identification | None          # the variant of a state dict, None if it is another family's

Most importers are a table of renames for `importers.renaming`.
"""

from model_zoo.weights.importers.darknet import from_cfg, from_darknet
from model_zoo.weights.importers.families import from_state_dict
from model_zoo.weights.importers.model_files import ImportedModel, load_checkpoint

__all__ = ["ImportedModel", "from_cfg", "from_darknet", "from_state_dict", "load_checkpoint"]
