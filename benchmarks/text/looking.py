"""All steps on one picture, as the scan and the stage score run them, without manifests."""

from curation.text.bounds import CascadeSettings, TextStep
from curation.text.cascade import Cascade, TextMeasures, kind_measures
from curation.text.first_look import FirstLook, first_look
from filters.protocol import Rgb


def measure_alone(cascade: Cascade, rgb: Rgb) -> TextMeasures:
    """Return what the scan and `cascade` measure on one picture."""
    (measures,) = cascade.measure([rgb], [first_look(rgb)])
    return measures


def needs_pixels(settings: CascadeSettings, look: FirstLook) -> bool:
    """Return whether the stage score reads a picture again: whether the first look leaves a question open."""
    if not settings.is_open(TextStep.DENSITY, look.probabilities):
        return False
    if not look.has_rich_kinds:
        return True
    _, probabilities = kind_measures(look)
    return settings.is_open(TextStep.KIND, probabilities)
