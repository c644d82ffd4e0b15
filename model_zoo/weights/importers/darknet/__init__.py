"""Importers of Darknet's `.weights` and `.cfg` files."""

from model_zoo.weights.importers.darknet.cfg_network import from_cfg
from model_zoo.weights.importers.darknet.variants import from_darknet, load_backbone

__all__ = ["from_cfg", "from_darknet", "load_backbone"]
