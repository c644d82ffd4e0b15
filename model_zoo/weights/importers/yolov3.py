"""Import YOLOv3 of MMDetection: keys `backbone.conv_res_block<stage>...`, `neck.detect<level>...`, `bbox_head...`.

Levels are numbered from the coarsest. Anchors are the paper's, because the state dict has none.
"""

from __future__ import annotations

from model_zoo import registry
from model_zoo.contract.errors import LineageError
from model_zoo.detector import Detector
from model_zoo.families.yolov3 import VARIANTS
from model_zoo.weights.importers.identification import Identification
from model_zoo.weights.importers.renaming import RenameTable, load, require
from model_zoo.weights.state_dict import StateDict

LAST_BACKBONE_KEY = "backbone.conv_res_block5.res3.conv2.conv.weight"  # of Darknet-53
PREDICTION_KEY = "bbox_head.convs_pred.0.bias"
TABLE: RenameTable = (
    (r"^backbone\.conv1\.", "backbone.stem."),
    (r"^backbone\.conv_res_block(\d)\.conv\.", r"backbone.c\1.0."),
    *((rf"^backbone\.conv_res_block(\d)\.res{i}\.", rf"backbone.c\1.{i + 1}.") for i in range(8)),
    (r"^(backbone\.c\d\.[1-8])\.conv1\.", r"\1.reduce."),
    (r"^(backbone\.c\d\.[1-8])\.conv2\.", r"\1.expand."),
    *((rf"^neck\.detect(\d)\.conv{i + 1}\.", rf"neck.detect\1.{i}.") for i in range(5)),
    *((rf"^neck\.detect{i}\.", f"neck.set{6 - i}.") for i in (1, 2, 3)),
    *((rf"^neck\.conv{i}\.", f"neck.reduce{6 - i}.") for i in (1, 2)),
    *((rf"^bbox_head\.convs_bridge\.{i}\.", f"neck.out{5 - i}.") for i in range(3)),
    *((rf"^bbox_head\.convs_pred\.{i}\.", f"head.predict.{2 - i}.") for i in range(3)),
)


def from_state_dict(variant: str, state: StateDict) -> Detector:
    """Build `variant` with the class count of the state dict."""
    if variant not in VARIANTS or VARIANTS[variant].spp:
        raise LineageError(f"expected yolov3-mmdet, the variant that MMDetection trains; got {variant}")
    detector = registry.build(variant, num_classes=require(state, PREDICTION_KEY, variant).size // 3 - 5)
    anchors = detector.state_dict()["head.anchors"].numpy()
    return load(detector, {**state, "head.anchors": anchors}, TABLE)


def identify(state: StateDict) -> Identification | None:
    """Identify the network by the last layer of its backbone and by its prediction layers."""
    if LAST_BACKBONE_KEY in state and PREDICTION_KEY in state:
        return Identification("yolov3-mmdet", "MMDetection's keys of Darknet-53 and three prediction layers")
    return None
