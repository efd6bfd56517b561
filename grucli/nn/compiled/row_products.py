"""Products of a single row and matrices, shared among threads.

All weights are read for each character, and one core reads only so many bytes a second. So threads
share the blocks of columns of a large matrix. They wait in a loop for the next product, since
waking up takes longer than a product. Each takes blocks that no other has taken, so that a thread
that another program keeps waiting costs little. The order of each sum does not depend on the
threads: any number of them gives the same bits.
"""

import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from grucli.nn import calls
from grucli.nn.calls import Calls
from grucli.nn.compiled.c_functions import c_function, pointer
from grucli.nn.compiled.compiler import compiled
from grucli.nn.onednn import address
from grucli.nn.packed import aligned
from grucli.nn.params import Array, chunks

WIDTH = 64  # columns of a block
SHARED = 2**17  # numbers of matrices from which sharing their product is faster
MOST = 2**10  # products of a model, at most
# of a product: the addresses of x, W, out and of marks; K, N, the blocks, and those of a matrix
FIELDS = 8
LINE = 64  # bytes of a cache line: what one thread writes is in no line that another one writes
TURN, LAST, PRODUCTS = 0, LINE, 2 * LINE  # of a team: the turn to help with, the last one, products
STOP = -1  # instead of a turn

# ---- numbers in memory that threads share


def _at(builder, address):
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic
def load(context, address):
    """The integer at an address; what its writer wrote before is seen after it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_at(builder, arguments[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def store(context, address, value):
    """Write an integer, after everything that was written before."""

    def generate(context, builder, signature, arguments):
        builder.store_atomic(arguments[1], _at(builder, arguments[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def replace(context, address, old, new):
    """Write a new integer if the old one is still there; whether it was."""

    def generate(context, builder, signature, arguments):
        place, *values = arguments
        result = builder.cmpxchg(_at(builder, place), *values, "acq_rel", "acquire")
        return builder.extract_value(result, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def pause(context):
    """Let the other thread of the core work."""

    def generate(context, builder, signature, arguments):
        if platform.machine() in ("x86_64", "AMD64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind), ())
        return context.get_dummy_value()

    return types.void(), generate


# ---- products


@compiled
def multiply_block(x, W, out):
    """Write x W to ``out`` (n,), for the first n columns of W (K, WIDTH); four rows at a time."""
    out[:] = 0
    whole = len(x) // 4 * 4
    for k in range(0, whole, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for j in range(len(out)):
            out[j] += x0 * W[k, j] + x1 * W[k + 1, j] + (x2 * W[k + 2, j] + x3 * W[k + 3, j])
    for k in range(whole, len(x)):
        for j in range(len(out)):
            out[j] += x[k] * W[k, j]


@compiled
def take_blocks(product, turn, share):
    """Multiply the blocks that no other thread has taken in this turn, from a share of them on."""
    number, marks, K, N = np.float32(0), product[3], product[4], product[5]
    blocks, of_matrix = product[6], product[7]
    x = carray(pointer(product[0], number), K)
    W = carray(pointer(product[1], number), (blocks, K, WIDTH))
    for k in range(blocks):
        block = (int(share * blocks) + k) % blocks
        mark = marks + 2 * LINE * block
        before = load(mark)
        if before < turn and replace(mark, before, turn):
            g, lo = block // of_matrix, block % of_matrix * WIDTH
            out = carray(pointer(product[2] + 4 * (g * N + lo), number), min(WIDTH, N - lo))
            multiply_block(x, W[block], out)
            store(mark + LINE, turn)  # it is done


def multiply_row(team, number, shared, _):
    """Compute a product of a team in the next turn; the rest of its division by MOST says which."""
    turn = (load(team + LAST) // MOST + 1) * MOST + number
    store(team + LAST, turn)
    if shared:
        store(team + TURN, turn)
    product = carray(pointer(load(team + PRODUCTS), np.int64(0)), (MOST, FIELDS))[number]
    take_blocks(product, turn, 0.0)
    for block in range(product[6]):
        while load(product[3] + 2 * LINE * block + LINE) < turn:
            pause()
    return 0


@compiled
def help_with(team, share):
    """Take part in the turns of a team until ``STOP``, from a share of the blocks on."""
    products = carray(pointer(load(team + PRODUCTS), np.int64(0)), (MOST, FIELDS))
    last = 0
    while True:
        turn = load(team + TURN)
        if turn == STOP:
            return
        if turn != last:
            last = turn
            take_blocks(products[turn % MOST], turn, share)
        pause()


class Team:
    """The products of a model, and the threads that share the large ones."""

    def __init__(self, threads: int) -> None:
        self.threads, self.count, self.shares = threads, 0, False
        self.products = np.zeros((MOST, FIELDS), np.int64)
        self.lines = np.zeros((3, LINE // 8), np.int64)
        self.lines[PRODUCTS // LINE, 0] = address(self.products)

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads - 1)

    def calls(self, W: Array, x: Array, out: Array) -> Calls:
        """Calls that write the product of x (1, 1, K) and W (G, K, N) to ``out`` (G, 1, N)."""
        G, K, N = W.shape
        count = -(-N // WIDTH)
        blocks = aligned(G * count * K * WIDTH, W.dtype).reshape(G, count, K, WIDTH)
        for number, part in enumerate(chunks(N, WIDTH)):
            blocks[:, number, :, : part.stop - part.start] = W[:, :, part]
        marks = np.zeros((2 * G * count + 1, LINE // 8), np.int64)  # taken and done, by turn
        places = map(address, (x[0], blocks, out, marks))
        self.products[self.count] = [*places, K, N, G * count, count]
        shared = self.threads > 1 and W.size >= SHARED
        row = calls.row(c_function(multiply_row), address(self.lines), self.count, shared)
        self.count, self.shares = self.count + 1, self.shares or shared
        return Calls(np.array([row], np.int64), lambda _: None, (self, blocks, marks, x, out))

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The other threads wait for turns in this context, if there is something to share."""
        team, turn = address(self.lines), self.lines[TURN // LINE]
        turn[:] = 0
        helping = []
        try:
            with suppress(RuntimeError):  # without another thread, this one does all
                for number in range(1, self.threads if self.shares else 1):
                    helping.append(self.pool.submit(help_with, team, number / self.threads))
            yield
        finally:
            turn[:] = STOP
            for one in helping:
                one.result()


class Row:
    """Matrices (G, K, N) for products with a single row."""

    def __init__(self, W: Array, team: Team) -> None:
        self.W, self.team = W, team

    def __getitem__(self, gates: slice) -> "Row":
        return Row(self.W[gates], self.team)

    def calls(self, x: Array, out: Array) -> Calls:
        return self.team.calls(self.W, x, out)
