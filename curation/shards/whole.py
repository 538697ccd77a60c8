"""What is known of shards once all are written: indexes for other tools, and how well samples are shuffled."""

from collections.abc import Sequence

from curation.shards.indexes import Tar, dataset_indexes
from curation.shards.layout import IMAGE, Layout
from curation.shards.shuffle import shuffle_statistic
from manifests.format.receipts import Receipt, add_counts
from manifests.format.store import Whole


def whole_of(receipts: Sequence[Receipt], *, layout: Layout) -> Whole:
    """Return what the receipts of all shards, in their order, say of shards in this layout."""
    rows = sum(receipt.rows for receipt in receipts)
    facts = add_counts({"facts": receipt.facts} for receipt in receipts).get("facts", {})
    tars = [
        Tar(name=name, samples=receipt.rows, size_bytes=about["bytes"])
        for receipt in receipts
        for name, about in receipt.files.items()
        if name.endswith(".tar")
    ]
    image = IMAGE if layout is Layout.UNIFORM else None
    return Whole(files=dataset_indexes(tars, image=image), shuffle=shuffle_statistic(facts, rows))
