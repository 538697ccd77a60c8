"""Makes the demo corpus: tars of pictures like the web's in kind, and the truth about each.

    python -m examples.corpus OUT_DIR [--images 400] [--tars 8] [--seed 0]

    OUT_DIR/00000.tar, 00000.parquet, ...   as img2dataset leaves them
    OUT_DIR/truth.csv                       what each sample is, and of which other one it is a copy

Everything is drawn here: no network, nobody's photographs. Sample n depends on the seed and on n alone
(a copy also on the earlier sample it copies), so a larger corpus starts with the smaller one's samples. The
same call gives the same bytes with the same versions of Pillow, NumPy and the `demo` extra's font packages.
"""

from examples.corpus.samples import picture
from examples.corpus.tars import make_corpus

__all__ = ["make_corpus", "picture"]
