"""Functions of numbers that LLVM can vectorize, unlike those of the C library; NaN stays NaN."""

import math

import numpy as np
from numba import types
from numba.extending import overload

from grucli.nn.compiled.compiler import OPTIONS, compiled, compiled_sum

F = np.float32

# exp(x) in float32 is 2^n exp(r), |r| <= ln 2 / 2, with the coefficients of Cephes (``expf``).
EXP_IS_0 = F(-87.33)
LOG2_E, LN2_HIGH, LN2_LOW = F(1.44269504088896341), F(0.693359375), F(-2.12194440e-4)
E = tuple(map(F, (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3,
                  1.3981999507e-3, 1.9875691500e-4)))  # fmt: skip

# tanh(x) in float32 is x + x^3 P(x^2) up to 0.625, with the coefficients of Cephes (``tanhf``), and
# (1 - e) / (1 + e) with e = exp(-2 x) from there.
LINEAR = F(0.625)
P = tuple(map(F, (-3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2,
                  -5.70498872745e-3)))  # fmt: skip


def tanh(x):
    return math.tanh(x)


def exp(x):
    """The exponential of a number that is not positive."""
    return math.exp(x)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@overload(exp, jit_options=OPTIONS)
def _exp(x):
    if x != types.float32:
        return exp

    def exp_float32(x):
        y = EXP_IS_0 if x < EXP_IS_0 else x
        n = np.floor(y * LOG2_E + F(0.5))
        r = y - n * LN2_HIGH - n * LN2_LOW
        p = E[0] + r * (E[1] + r * (E[2] + r * (E[3] + r * (E[4] + r * E[5]))))
        power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
        return F(0.0) if x < EXP_IS_0 else (F(1.0) + r + r * r * p) * power

    return exp_float32


@overload(tanh, jit_options=OPTIONS)
def _tanh(x):
    if x != types.float32:
        return tanh

    def tanh_float32(x):
        size = abs(x)
        s = x * x
        p = P[0] + s * (P[1] + s * (P[2] + s * (P[3] + s * P[4])))
        e = exp(F(-2.0) * size)
        far = (F(1.0) - e) / (F(1.0) + e)
        return x + x * s * p if size < LINEAR else math.copysign(far, x)

    return tanh_float32


@overload(sigmoid, jit_options=OPTIONS)
def _sigmoid(x):
    def sigmoid_of_any(x):
        one = type(x)(1.0)
        e = exp(-abs(x))
        return (one if x >= 0 else e) / (one + e)

    return sigmoid_of_any


@compiled
def largest(row):
    """The largest number; four comparisons at a time, since each waits for the one before."""
    a = b = c = d = row[0]
    whole = len(row) // 4 * 4
    for j in range(0, whole, 4):
        a = row[j] if row[j] > a else a
        b = row[j + 1] if row[j + 1] > b else b
        c = row[j + 2] if row[j + 2] > c else c
        d = row[j + 3] if row[j + 3] > d else d
    for j in range(whole, len(row)):
        a = row[j] if row[j] > a else a
    return max(max(a, b), max(c, d))


@compiled_sum
def total(row):
    """The sum of a row; LLVM may choose its order."""
    result = row.dtype.type(0)
    for x in row:
        result += x
    return result
