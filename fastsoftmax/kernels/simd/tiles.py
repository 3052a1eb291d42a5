"""What `outer_tile` of simd/__init__.py is in compiled code: a tile of sums that stay in registers; and what it shares
with the tile of dots.py.

A function that holds tiles is not copied into its callers: it is large, and called for thousands of numbers at a time.
A tile keeps as many sums as the target has registers for while it goes through its factors; each of its heights is a
loop of its own, written out here, because LLVM does not find such tiles in a loop over numbers.
"""

import functools

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.jit.numba_internals import cgutils
from fastsoftmax.kernels.simd.target import has_mask_registers, register_bytes
from fastsoftmax.kernels.simd.types import (
    VECTOR_BITS,
    Vector,
    call_in,
    check_writable,
    is_pointer_to_floats,
    load_first,
    prefetch_in,
    splat_in,
    store_first,
)

__all__ = ["outer_band", "outer_tile", "outer_tile_height", "vector_registers"]

NUMBER, NUMBER_OF = types.intp, ir.IntType(64)


class Place:
    """Where a matrix is, in code that is being written: pointer, position, and the distance of its rows."""

    def __init__(self, context, builder, kind, value):
        self._builder = builder
        self.pointer, *rest = cgutils.unpack_tuple(builder, value)
        self.at, self.stride = (context.cast(builder, v, t, NUMBER) for v, t in zip(rest, list(kind)[1:], strict=True))

    def address(self, row, column):
        """Of an element, the row and column being values of the code."""
        here = self._builder.add(self.at, self._builder.mul(row, self.stride))
        return self._builder.gep(self.pointer, [self._builder.add(here, column)])


def is_place(kind):
    return isinstance(kind, types.BaseTuple) and len(kind) == 3 and is_pointer_to_floats(kind[0])


def _fma(builder, vector, a, b, place):
    """A * b added to the sum at the place, which LLVM keeps in a register."""
    total = call_in(builder, f"llvm.fmuladd.{vector.suffix}", vector.llvm, [a, b, builder.load(place)])
    builder.store(total, place)


def add_products(builder, vector, left, right, sums):
    """All products of the numbers that left and right load, added to the sums, row by row of left.

    The shorter side stays in registers and the other comes one by one: else LLVM keeps the longer, and spills sums.
    """
    swapped = len(left) > len(right)
    kept, others = ([load() for load in right], left) if swapped else ([load() for load in left], right)
    for k, load in enumerate(others):
        value = load()
        for n, other in enumerate(kept):
            i, j = (k, n) if swapped else (n, k)
            _fma(builder, vector, value, other, sums[i * len(right) + j])


def load(context, builder, vector, address, count=None, rest=None):
    """The vector at the address, or `count` elements of it and those of the rest (zeros)."""
    if count is not None:
        rest = ir.Constant(vector.llvm, None) if rest is None else rest
        return load_first(context, builder, vector, address, count, rest)
    address = builder.bitcast(address, vector.llvm.as_pointer())
    return builder.load(address, align=vector.kind.bitwidth // 8)


def store(context, builder, vector, value, address, count=None):
    if count is not None:
        store_first(context, builder, vector, value, address, count)
    else:
        address = builder.bitcast(address, vector.llvm.as_pointer())
        builder.store(value, address, align=vector.kind.bitwidth // 8)


class Part:
    """What of a vector fills a register."""

    def __init__(self, context, vector):
        self.kind, self.count = vector.kind, register_bytes(context) * 8 // vector.kind.bitwidth
        self.llvm = ir.VectorType(vector.llvm.element, self.count)
        self.suffix = f"v{self.count}f{self.kind.bitwidth}"


# Registers are for the sums, for the numbers of one factor, and one for what they are multiplied with


def _most_height(context):
    return 14 if has_mask_registers(context) else 3


def _band(context):
    # low tiles share the columns of x that lie in L1; higher ones lose more by factors that lie there too (float64,
    # 512 features, 1000 classes: 0.92 of the speed)
    return 42 if _most_height(context) == 3 else 14


def constant_of_target(value):
    @intrinsic
    def constant(typingctx):
        def codegen(context, builder, signature, args):
            return context.get_constant(NUMBER, value(context))

        return NUMBER(), codegen

    return constant


outer_tile_height = constant_of_target(_most_height)
outer_band = constant_of_target(_band)
vector_registers = constant_of_target(lambda context: VECTOR_BITS // 8 // register_bytes(context))


def by_case(builder, value, bodies):
    """Run the body that belongs to the value."""
    builder.function.attributes.add("noinline")
    done = builder.append_basic_block("done")
    switch = builder.switch(value, done)
    for case, body in bodies:
        block = builder.append_basic_block(f"case_{case}")
        switch.add_case(ir.Constant(value.type, case), block)
        builder.position_at_end(block)
        body()
        builder.branch(done)
    builder.position_at_end(done)


def less(builder, number, value):
    return builder.icmp_signed("<", NUMBER_OF(number), value)


def smaller(builder, a, b):
    return builder.select(builder.icmp_signed("<", a, b), a, b)


@intrinsic
def outer_tile(typingctx, factors, height, x, columns, count, adds, out, ahead):
    if not (is_place(factors) and is_place(x) and is_place(out)):
        return None
    check_writable(out[0])
    vector = Vector(x[0].dtype)

    def codegen(context, builder, signature, args):
        factor_place, x_place, out_place = (Place(context, builder, signature.args[i], args[i]) for i in (0, 2, 6))
        _, height, _, columns, count, adds, _, ahead = args
        part = Part(context, vector)
        n_parts = vector.count // part.count
        sums = [cgutils.alloca_once(builder, part.llvm) for _ in range(2 * _most_height(context) * n_parts)]

        def sum_up(n_rows, starts, counts):
            with cgutils.for_range(builder, count) as loop:

                def load_factor(i):
                    factor = builder.load(factor_place.address(loop.index, NUMBER_OF(i)))
                    return splat_in(builder, factor, part.llvm)

                def load_x(start, count):
                    return load(context, builder, part, x_place.address(loop.index, start), count)

                for start in starts[::n_parts]:
                    prefetch_in(builder, builder.gep(x_place.address(loop.index, start), [ahead]))
                factors = [functools.partial(load_factor, i) for i in range(n_rows)]
                xs = [functools.partial(load_x, *pair) for pair in zip(starts, counts, strict=True)]
                add_products(builder, part, factors, xs, sums)

        def add_present(tile, wanted=None):
            for address, place, some in tile:
                if wanted is not None:
                    some = builder.select(wanted, some or NUMBER_OF(part.count), NUMBER_OF(0))
                nothing = ir.Constant(part.llvm, [-0.0] * part.count)  # what -0 is added to stays as it is
                value = load(context, builder, part, address, some, nothing)
                builder.store(builder.fadd(value, builder.load(place)), place)

        def put(tile):
            for address, place, some in tile:
                store(context, builder, part, builder.load(place), address, some)

        def tile_of(n_rows, starts, counts):
            numbers = [(i, v) for i in range(n_rows) for v in range(len(starts))]
            return [
                (out_place.address(NUMBER_OF(i), starts[v]), sums[i * len(starts) + v], counts[v]) for i, v in numbers
            ]

        def clear(n_sums):
            for place in sums[:n_sums]:
                builder.store(ir.Constant(part.llvm, None), place)

        def under_masks(n_rows, n_vectors):
            # a load under a mask, an empty one too, costs what a plain one does; a store a little more
            rest = builder.sub(columns, NUMBER_OF((n_vectors - 1) * vector.count))
            starts = [NUMBER_OF(v * vector.count) for v in range(n_vectors)]
            whole, ragged = [None] * n_vectors, [None] * (n_vectors - 1) + [rest]
            clear(n_rows * n_vectors)
            sum_up(n_rows, starts, ragged)
            add_present(tile_of(n_rows, starts, ragged), adds)
            put([element for element in tile_of(n_rows, starts, ragged) if element[2] is None])
            with builder.if_else(builder.icmp_signed("==", rest, NUMBER_OF(vector.count))) as (full, otherwise):
                for branch, counts in ((full, whole), (otherwise, ragged)):
                    with branch:
                        put(tile_of(n_rows, starts, counts)[n_vectors - 1 :: n_vectors])

        def by_registers(n_rows, starts, count=None):
            # of whole registers, the last of which may overlap: columns that two of them have are added up twice, alike
            counts = [count] * len(starts)
            clear(n_rows * len(starts))
            sum_up(n_rows, starts, counts)
            with builder.if_then(adds):  # all are loaded before one is put
                add_present(tile_of(n_rows, starts, counts))
            put(tile_of(n_rows, starts, counts))

        def by_height(body, *arguments):
            heights = range(1, _most_height(context) + 1)
            by_case(builder, height, [(h, functools.partial(body, h, *arguments)) for h in heights])

        with builder.if_else(builder.icmp_signed(">", columns, NUMBER_OF(vector.count))) as (wide, narrow):
            if has_mask_registers(context):
                for branch, n_vectors in ((wide, 2), (narrow, 1)):
                    with branch:
                        by_height(under_masks, n_vectors)
                return context.get_dummy_value()
            parts = [NUMBER_OF(p * part.count) for p in range(n_parts)]
            with wide:
                last = builder.sub(columns, NUMBER_OF(vector.count))
                by_height(by_registers, parts + [builder.add(last, p) for p in parts])
            with narrow:
                last = builder.sub(columns, NUMBER_OF(part.count))
                with builder.if_else(less(builder, -1, last)) as (enough, short):
                    with enough:
                        by_height(by_registers, [smaller(builder, p, last) for p in parts])
                    with short:
                        by_height(by_registers, [NUMBER_OF(0)], columns)
        return context.get_dummy_value()

    taken = (factors, NUMBER, x, NUMBER, NUMBER, types.boolean, out, NUMBER)
    return types.void(*taken), codegen
