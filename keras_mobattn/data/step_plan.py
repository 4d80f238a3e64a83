"""The images of each step of a run: how many, of which size, and from which place in the data."""

import dataclasses
import functools

import numpy as np

from keras_mobattn._types import Size
from keras_mobattn.errors import InputError, expect_kind, expect_range


@dataclasses.dataclass(frozen=True)
class StepPlan:
    """The batches of a whole run, each a pure function of its step, so that a run can begin anywhere.

    With `sizes` this is the multi-scale sampler of MobileViT (arXiv:2110.02178, section 3.3; cvnets): each step draws
    one of the sizes and as many images as have the pixels of `batch_size` images of `image_size`. 128 images of 256
    pixels become 327, 227, 128, 101, 81 at 160, 192, 256, 288, 320.

    With one size an epoch is a permutation of the images without the last, partial batch; a set that is smaller than
    `batch_size` is one batch. With several sizes batches run on from one permutation into the next, so that each image
    is seen once in `num_examples` images, whatever sizes were drawn.

    Args:
        num_examples: Images in the training set.
        batch_size: Images per step, over all replicas and accumulated parts, at `image_size`.
        epochs: How often the set is seen.
        image_size: Height and width in pixels, one number or (height, width).
        sizes: Sides in pixels to draw from, ascending; None for `image_size` alone. With sizes, `image_size` is one
            number.
        granularity: Every batch is a multiple of this: replicas times accumulated parts.
        seed: Draws the sizes.

    Raises:
        InputError: a number below 1, sizes that don't ascend, a `batch_size` that is no multiple of `granularity`, or
            fewer images than `granularity`.
    """

    num_examples: int
    batch_size: int
    epochs: int
    image_size: int | tuple[int, int]
    sizes: tuple[int, ...] | None = None
    granularity: int = 1
    seed: int = 0

    def __post_init__(self):
        for name in ("num_examples", "batch_size", "epochs", "granularity"):
            expect_range(name, getattr(self, name), 1, whole=True)
        expect_range("seed", self.seed, whole=True)
        if not isinstance(self.image_size, int):
            wanted = "a number, or (height, width)"
            expect_kind("image_size", self.image_size, (tuple, list), wanted)
        for side in self.shape:
            expect_range("image_size", side, 1, whole=True)
        if self.sizes is not None:
            expect_range("image_size, beside sizes,", self.image_size, 1)
            sizes = tuple(expect_kind("sizes", self.sizes, (tuple, list), "pixels in ascending order"))
            for size in sizes:
                expect_range("each of sizes", size, 1, whole=True)
            object.__setattr__(self, "sizes", sizes)
            if not sizes or list(sizes) != sorted(set(sizes)):
                raise InputError(f"Expected sizes to be pixels in ascending order, as 160 192 256. Received: {sizes}.")
        if self.batch_size % self.granularity:
            raise InputError(
                f"Expected batch_size to be a multiple of {self.granularity}, the replicas times the accumulated "
                f"parts. Received: {self.batch_size}. "
                f"Take {max(1, self.batch_size // self.granularity) * self.granularity}."
            )
        if self.num_examples < self.granularity:
            raise InputError(
                f"Expected at least one image for each of {self.granularity} parts of a batch (replicas times "
                f"accumulated parts). Received: {self.num_examples} images."
            )

    @property
    def shape(self) -> Size:
        """(height, width) of `image_size`."""
        return (self.image_size,) * 2 if isinstance(self.image_size, int) else tuple(self.image_size)  # type: ignore[return-value]

    @functools.cached_property
    def batch_of(self) -> dict[int | Size, int]:
        """{size: images per step}, sizes ascending."""
        if self.sizes is None:
            return {self.image_size: self._multiple(min(self.batch_size, self.num_examples))}
        pixels = self.batch_size * self.image_size**2  # type: ignore[operator]  # beside sizes it is one number
        return {size: self._multiple(pixels // size**2) for size in self.sizes}

    def _multiple(self, images):
        return max(1, images // self.granularity) * self.granularity

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, at least 1; with several sizes, by the mean batch."""
        return max(1, self.num_examples * len(self.batch_of) // sum(self.batch_of.values()))

    @property
    def total_steps(self) -> int:
        """Steps of the run."""
        return self.epochs * self.steps_per_epoch

    @property
    def epoch_images(self) -> int:
        """Images of a permutation, after which the next one begins."""
        return self.num_examples if self.sizes else self.steps_per_epoch * self.batch(0)

    @functools.cached_property
    def drawn(self) -> np.ndarray:
        """The index into `sizes` of every step: uint8 [total_steps]. A longer run begins as a shorter one does."""
        rng = np.random.RandomState(self.seed % 2**32)  # the legacy generator: numpy promises to never change it
        return rng.randint(len(self.batch_of), size=self.total_steps).astype(np.uint8)

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """Images used up before every step, and in all: int64 [total_steps + 1]."""
        batches = np.array(list(self.batch_of.values()), np.int64)[self.drawn]
        return np.concatenate([[0], np.cumsum(batches)])

    def size(self, step: int) -> int | Size:
        """Height and width in pixels of the images of a step."""
        return list(self.batch_of)[self.drawn[self._checked(step)]]

    def batch(self, step: int) -> int:
        """Images of a step, over all replicas and accumulated parts."""
        return self.batch_of[self.size(step)]

    def offset(self, step: int) -> int:
        """Images used up before a step; `step` may be total_steps too."""
        return int(self.offsets[step if step == self.total_steps else self._checked(step)])

    @property
    def shapes(self) -> set[tuple[int | Size, int]]:
        """The set of (size, batch) pairs in the run, one for each trace of a step function."""
        pairs = list(self.batch_of.items())
        return {pairs[index] for index in np.unique(self.drawn)}

    def _checked(self, step):
        return expect_range("step", step, 0, self.total_steps - 1)
