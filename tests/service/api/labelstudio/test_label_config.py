"""Labeling configurations: the tags for boxes, their labels and options, and malicious XML."""

from __future__ import annotations

import pytest

from service.api.errors import BadRequest
from service.api.labelstudio.label_config import MAX_BYTES, find_control

CONFIG = """<View>
  <Header value="Boxes"/>
  <Image name="photo" value="$picture" zoom="true"/>
  <Choices name="quality" toName="photo"><Choice value="good"/></Choices>
  <RectangleLabels name="boxes" toName="photo" model="toy@stable" model_score_threshold="0.05">
    <Label value="Rouge" predicted_values="red, crimson" background="#f00"/>
    <Label value="Green"/>
    <Label value="Crimson"/>
  </RectangleLabels>
  <Labels name="other" toName="photo"><Label value="blue"/></Labels>
</View>"""


def test_tag_for_boxes_is_found_with_its_options() -> None:
    control = find_control(CONFIG)
    assert control
    assert (control.from_name, control.to_name, control.data_key) == ("boxes", "photo", "picture")
    assert (control.model, control.score) == ("toy@stable", 0.05)


def test_labels_are_those_of_the_tag_by_name_or_predicted_values() -> None:
    control = find_control(CONFIG)
    assert control
    labels = control.labels_by_class(("red", "GREEN ", "blue", "crimson"))
    assert labels == {0: "Rouge", 1: "Green", 3: "Rouge"}  # predicted_values come before the labels' own names


@pytest.mark.parametrize(
    "config",
    [
        "",
        "   ",
        "<View></View>",
        '<View><Image name="i" value="$i"/></View>',
        '<View><RectangleLabels name="r" toName="i"><Label value="a"/></RectangleLabels></View>',
        '<View><Text name="i" value="$i"/><RectangleLabels name="r" toName="i"/></View>',
        '<View><Image name="i"/><RectangleLabels name="r" toName="i"/></View>',
        '<View><Image name="i" value="$i"/><RectangleLabels name="r"/></View>',
    ],
)
def test_projects_without_boxes_on_images_have_no_control(config: str) -> None:
    assert find_control(config) is None


def test_first_tag_on_an_image_is_used() -> None:
    text = '<Text name="t" value="$t"/><RectangleLabels name="a" toName="t"/>'
    image = '<RectangleLabels name="b" toName="i"/><Image name="i" value="$i"/>'
    control = find_control(f"<View>{text}{image}</View>")
    assert control
    assert (control.from_name, dict(control.labels), control.model, control.score) == ("b", {}, None, None)


ENTITIES = '<!DOCTYPE v [<!ENTITY a "{}">]><View>&a;</View>'


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("<View>", "no element found"),
        ("no XML", "syntax error"),
        ("<View>&unknown;</View>", "undefined entity"),
        (ENTITIES.format("boom"), "without a DOCTYPE"),
        ('<!DOCTYPE v SYSTEM "file:///etc/passwd"><View/>', "without a DOCTYPE"),
        (" " * (MAX_BYTES + 1), "at most 1,000,000 characters"),
        (
            '<View><Image name="i" value="$i"/>'
            '<RectangleLabels name="r" toName="i" model_score_threshold="high"/></View>',
            "model_score_threshold: expected a number",
        ),
    ],
)
def test_other_documents_are_refused(config: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        find_control(config)
