"""Vary the images of a dataset as a recipe says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.random import Generator

from model_zoo.contract import letterbox
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from training.augment import mixup, mosaic
from training.augment.canvas import assemble, cut, draw_crop, keep, mirror, resize, worth_keeping
from training.augment.color import draw_color, recolor
from training.augment.geometry import Affine, about_center, about_corner, draw_affine, warp, warp_boxes
from training.batch import Sample
from training.recipe import Augmentation


class Pictures(Protocol):
    """The images of a dataset, each at the size to which the letterbox brings it, not yet on its canvas."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Sample: ...


@dataclass(frozen=True)
class Augmenter:
    """Makes training samples of one size (height, width) out of pictures; all chance comes from the caller."""

    pictures: Pictures
    augmentation: Augmentation
    size: Size
    policy: LetterboxPolicy

    def __call__(self, index: int, rng: Generator, close_mosaic: bool = False) -> Sample:
        """Return picture `index`, varied; without mosaic and mixup where `close_mosaic`."""
        a = self.augmentation
        if close_mosaic or rng.random() >= a.mosaic:
            sample = self._alone(index, rng)
        else:
            sample = self._mosaic(index, rng)
            if rng.random() < a.mixup:
                sample = mixup.blend(sample, self._partner(rng), mixup.draw_share(a.mixup_beta, rng))
        if a.hue or a.saturation or a.value:
            sample = replace(sample, pixels=recolor(sample.pixels, draw_color(a, rng)))
        return mirror(sample) if rng.random() < a.flip else sample

    def _mosaic(self, index: int, rng: Generator) -> Sample:
        """Return a mosaic of a picture and three or eight others, as the random affine shows it."""
        a = self.augmentation
        canvas = (a.mosaic_canvas * self.size[0], a.mosaic_canvas * self.size[1])
        nine = rng.random() < a.mosaic_nine
        others = rng.integers(len(self.pictures), size=8 if nine else 3).tolist()
        tiles = [self._picture(i, rng) for i in (index, *others)]
        sizes = [_size(tile) for tile in tiles]
        if nine:
            corners = mosaic.place_nine(mosaic.draw_start(canvas, rng), sizes)
        else:
            corners = mosaic.place_four(mosaic.draw_center(canvas, rng), sizes)
        return self._seen(assemble(tiles, corners, canvas, self.policy.fill), draw_affine(a, rng))

    def _alone(self, index: int, rng: Generator) -> Sample:
        """Return one picture on its canvas, as the random affine shows it where that is about the center."""
        picture = self._picture(index, rng)
        corner = letterbox.plan(replace(self.policy, scale_up=False), _size(picture), self.size).corner
        affine = draw_affine(self.augmentation, rng) if self.augmentation.affine == "center" else Affine()
        return self._seen(assemble([picture], [corner], self.size, self.policy.fill), affine)

    def _partner(self, rng: Generator) -> Sample:
        """Return what a mosaic is blended with."""
        index = int(rng.integers(len(self.pictures)))
        if self.augmentation.mixup_beta:
            return self._mosaic(index, rng)
        return mixup.vary(self._alone(index, rng), self.augmentation, self.policy.fill, rng)

    def _picture(self, index: int, rng: Generator) -> Sample:
        """Return a picture, or Darknet's random crop of it at the size the letterbox gives that."""
        picture = self.pictures[index]
        if not self.augmentation.crop_jitter:
            return picture
        corner, crop = draw_crop(_size(picture), self.augmentation.crop_jitter, rng)
        cropped = cut(picture, corner, crop, self.policy.fill, self.augmentation)
        return resize(cropped, letterbox.plan(self.policy, crop, self.size).resized)

    def _seen(self, sample: Sample, affine: Affine) -> Sample:
        """Return what the affine shows of a canvas, without the boxes of which too little is left."""
        centered = self.augmentation.affine == "center"
        matrix = about_center(affine, _size(sample), self.size) if centered else about_corner(affine, self.size)
        boxes = warp_boxes(sample.boxes, matrix, self.size)
        wanted = worth_keeping(sample.boxes * affine.scale, boxes, self.augmentation)
        pixels = sample.pixels
        if _size(sample) != self.size or (matrix != np.eye(3)).any():
            pixels = warp(pixels, matrix, self.size, self.policy.fill)
        return keep(Sample(pixels, boxes.astype(np.float32), sample.class_ids), wanted)


def _size(sample: Sample) -> Size:
    return sample.pixels.shape[0], sample.pixels.shape[1]
