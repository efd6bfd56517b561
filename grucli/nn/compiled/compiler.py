from numba import njit

# NaN and infinity stay what they are, and the order of sums, too
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
compiled = njit(cache=True, **OPTIONS)
compiled_sum = njit(cache=True, **{**OPTIONS, "fastmath": {"contract", "nsz", "reassoc"}})
