"""Page types of each split, with sampling weights. A type is in one split only."""

from __future__ import annotations

from collections.abc import Callable

from examples.ui_elements.pages import data, forms, people, reading, sampler
from examples.ui_elements.random_page import RandomPage

PageType = Callable[[RandomPage], str]

TRAIN: list[tuple[PageType, float]] = [
    (forms.sign_in, 1),
    (forms.settings, 1.6),
    (forms.survey, 1.2),
    (forms.booking, 1),
    (data.dashboard, 1.2),
    (data.admin_table, 2),
    (data.calendar, 0.6),
    (data.board, 0.7),
    (reading.article, 0.8),
    (reading.documentation, 1),
    (reading.landing, 1),
    (reading.gallery, 0.8),
    (reading.player, 0.8),
    (people.chat, 0.7),
    (people.mail, 0.8),
    (people.shop, 1),
    (people.feed, 0.7),
    (sampler.sampler, 2),
    (sampler.controls, 2),
]
VAL: list[tuple[PageType, float]] = [(forms.account, 1), (forms.checkout, 1), (people.product, 1)]
TEST: list[tuple[PageType, float]] = [
    (forms.wizard, 1),
    (data.file_manager, 1),
    (reading.results, 1),
    (reading.pricing, 1),
]
