"""Classification by weighted nearest neighbours, the standard test of features without any training.

The vote is that of Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (CVPR 2018,
arXiv:1805.01978), with the settings of DINO (Caron et al., ICCV 2021, arXiv:2104.14294): the 20 nearest by cosine,
each with the weight exp(cosine / 0.07).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation.features.nearest import nearest, unit

NEIGHBOURS, TEMPERATURE = 20, 0.07


def knn_classify(
    features: ArrayLike,
    labels: ArrayLike,
    queries: ArrayLike,
    *,
    k: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> NDArray[np.generic]:
    """Return the label of each query, by the votes of its nearest labelled rows.

    Args:
        features: (rows, dimensions), of any length above 0.
        labels: (rows,), of any type that sorts.
        queries: (queries, dimensions).
        k: how many neighbours vote.
        temperature: of the weights exp(cosine / temperature); small ones let the nearest decide.

    Returns:
        (queries,), of the type of `labels`. Of labels with equal votes, the first in order.

    Raises ValueError when shapes do not fit, or there are fewer than `k` rows.
    """
    named = np.asarray(labels)
    base, asked = unit(features), unit(queries)
    if named.shape != (len(base),):
        raise ValueError(f"{len(base)} rows of features and labels of shape {named.shape}; give one label for each")
    if temperature <= 0:
        raise ValueError(f"temperature={temperature}: choose more than 0")
    classes, codes = np.unique(named, return_inverse=True)
    answers = [np.empty(0, np.intp)]
    for rows, cosines in nearest(asked, base, k):
        weights = np.exp((cosines.astype(np.float64) - cosines[:, :1]) / temperature)  # the nearest has weight 1
        votes = np.zeros((len(rows), len(classes)))
        np.add.at(votes, (np.arange(len(rows))[:, np.newaxis], codes[rows]), weights)
        answers.append(votes.argmax(axis=1))
    return classes[np.concatenate(answers)]
