"""Augment training images by the recipe of a generation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.random import Generator

from model_zoo.contract import letterbox
from model_zoo.contract.letterbox import LetterboxPolicy, Size
from training.augment import mixup, mosaic
from training.augment.canvas import crop, draw_crop, flip, keep_mask, paste, resize, select_boxes
from training.augment.color import apply_color, draw_color
from training.augment.geometry import Affine, about_center, about_corner, draw_affine, warp, warp_boxes
from training.batch import Sample
from training.recipe import Augmentation


class ImageSource(Protocol):
    """The images of a dataset, each resized as the letterbox does but not yet padded."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Sample: ...


@dataclass(frozen=True)
class Augmenter:
    """Training samples of one size. All randomness comes from the caller's generator."""

    images: ImageSource
    """Images to augment."""
    augmentation: Augmentation
    """Augmentation of the recipe."""
    size: Size
    """Height and width of the samples."""
    policy: LetterboxPolicy
    """Letterbox policy of the network."""

    def __call__(self, index: int, rng: Generator, close_mosaic: bool = False) -> Sample:
        """Return image `index` augmented, without mosaic and mixup if `close_mosaic`."""
        a = self.augmentation
        if close_mosaic or rng.random() >= a.mosaic:
            sample = self._single(index, rng)
        else:
            sample = self._mosaic(index, rng)
            if rng.random() < a.mixup:
                sample = mixup.blend(sample, self._mixup_partner(rng), mixup.draw_ratio(a.mixup_beta, rng))
        if a.hue or a.saturation or a.value:
            sample = replace(sample, pixels=apply_color(sample.pixels, draw_color(a, rng)))
        return flip(sample) if rng.random() < a.flip else sample

    def _mosaic(self, index: int, rng: Generator) -> Sample:
        """Return a mosaic of an image and three or eight random ones, transformed by the random affine."""
        a = self.augmentation
        canvas = (a.mosaic_canvas * self.size[0], a.mosaic_canvas * self.size[1])
        nine = rng.random() < a.mosaic_nine
        others = rng.integers(len(self.images), size=8 if nine else 3).tolist()
        tiles = [self._load(i, rng) for i in (index, *others)]
        sizes = [_size(tile) for tile in tiles]
        if nine:
            corners = mosaic.place_nine(mosaic.draw_start(canvas, rng), sizes)
        else:
            corners = mosaic.place_four(mosaic.draw_center(canvas, rng), sizes)
        return self._transform(paste(tiles, corners, canvas, self.policy.fill), draw_affine(a, rng))

    def _single(self, index: int, rng: Generator) -> Sample:
        """Return one image on its canvas, transformed by the random affine if that is about the center."""
        image = self._load(index, rng)
        corner = letterbox.plan(replace(self.policy, scale_up=False), _size(image), self.size).corner
        affine = draw_affine(self.augmentation, rng) if self.augmentation.affine == "center" else Affine()
        return self._transform(paste([image], [corner], self.size, self.policy.fill), affine)

    def _mixup_partner(self, rng: Generator) -> Sample:
        """Return the sample that a mosaic is blended with."""
        index = int(rng.integers(len(self.images)))
        if self.augmentation.mixup_beta:
            return self._mosaic(index, rng)
        return mixup.scale_and_crop(self._single(index, rng), self.augmentation, self.policy.fill, rng)

    def _load(self, index: int, rng: Generator) -> Sample:
        """Return an image, or Darknet's random crop of it resized as the letterbox does."""
        image = self.images[index]
        if not self.augmentation.crop_jitter:
            return image
        corner, size = draw_crop(_size(image), self.augmentation.crop_jitter, rng)
        cropped = crop(image, corner, size, self.policy.fill, self.augmentation)
        return resize(cropped, letterbox.plan(self.policy, size, self.size).resized)

    def _transform(self, sample: Sample, affine: Affine) -> Sample:
        """Transform a canvas by the affine, dropping boxes of which too little is left."""
        centered = self.augmentation.affine == "center"
        matrix = about_center(affine, _size(sample), self.size) if centered else about_corner(affine, self.size)
        boxes = warp_boxes(sample.boxes, matrix, self.size)
        mask = keep_mask(sample.boxes * affine.scale, boxes, self.augmentation)
        pixels = sample.pixels
        if _size(sample) != self.size or (matrix != np.eye(3)).any():
            pixels = warp(pixels, matrix, self.size, self.policy.fill)
        return select_boxes(Sample(pixels, boxes.astype(np.float32), sample.class_ids), mask)


def _size(sample: Sample) -> Size:
    return sample.pixels.shape[0], sample.pixels.shape[1]
