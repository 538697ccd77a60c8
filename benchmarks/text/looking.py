"""All steps on one picture, as the scan and the stage score run them, without manifests."""

from curation.text.cascade import Cascade, TextMeasures
from curation.text.first_look import first_look
from filters.protocol import Rgb


def measure_alone(cascade: Cascade, rgb: Rgb) -> TextMeasures:
    """Return what the scan and `cascade` measure on one picture."""
    (measures,) = cascade.measure([rgb], [first_look(rgb)])
    return measures
