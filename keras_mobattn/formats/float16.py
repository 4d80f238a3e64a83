"""Where float16 ends."""

HALF_MAX = 65504.0  # the largest float16
HALF_NORMAL = 2.0**-14  # the smallest with all of its 11 bits; below, a value keeps multiples of 2^-24
