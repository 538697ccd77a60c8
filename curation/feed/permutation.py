"""A keyed permutation of 0 … n - 1 that is computed for any position alone: nothing is stored or shuffled.

The cipher is the Feistel network of Mitchell, Stokes, Frank and Holmes, "Bandwidth-Optimal Random Shuffling for GPUs"
(ACM Transactions on Parallel Computing, 2022), also in CUDA's Thrust: 24 rounds with Philox's multiplication, on
halves that may differ by a bit, so that it permutes 2^b numbers for the smallest b with n <= 2^b. Numbers that fall
outside of 0 … n - 1 are encrypted again until they do not (cycle walking, Black and Rogaway, 2002), fewer than two
rounds on average.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

ROUNDS = 24
MIN_BITS = 4  # a network on one or two bits has too few keys to be fair
MAX_BITS = 62
_PHILOX = np.uint64(0xD2B74407B1CE6E93)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Permutation:
    """The permutation of 0 … `size` - 1 that `key` chooses; different texts choose independent permutations."""

    def __init__(self, size: int, key: str) -> None:
        if not 0 <= size <= 1 << MAX_BITS:
            raise ValueError(f"size={size}: choose 0 to 2^{MAX_BITS}")
        self.size = size
        bits = max(MIN_BITS, (size - 1).bit_length())
        self._left_bits, self._right_bits = np.uint64(bits // 2), np.uint64(bits - bits // 2)
        stream = hashlib.shake_128(key.encode()).digest(4 * ROUNDS)
        self._keys = np.frombuffer(stream, "<u4").astype(np.uint64)

    def __call__(self, positions: Numbers) -> Numbers:
        """Return what is at `positions`, int64 of any shape, each from 0 to `size` - 1."""
        numbers = np.asarray(positions, np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.size:
            raise IndexError(f"positions from {numbers.min()} to {numbers.max()}, of 0 to {self.size - 1}")
        found = self._encrypt(numbers.astype(np.uint64))
        outside = found >= self.size
        while outside.any():
            found[outside] = self._encrypt(found[outside])
            outside = found >= self.size
        return found.astype(np.int64)

    def _encrypt(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        one = np.uint64(1)
        left_mask, right_mask = (one << self._left_bits) - one, (one << self._right_bits) - one
        left, right = numbers >> self._right_bits, numbers & right_mask
        for key in self._keys:
            product = left * _PHILOX  # modulo 2^64, as intended
            high, low = product >> _HALF, product & _LOW
            low = (low << (self._right_bits - self._left_bits)) | (right >> self._left_bits)
            left, right = ((high ^ key) ^ right) & left_mask, low & right_mask
        return (left << self._right_bits) | right
