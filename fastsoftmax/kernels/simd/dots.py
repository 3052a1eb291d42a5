"""What `dot_tile` of simd/__init__.py is in compiled code: products of rows with rows, both along the features.

A dot product is as many partial sums as a vector has lanes, added up at the end. Where a register is a half or a
quarter of a vector, the tile goes through its factors once for each part of the vectors: so it loads fewer numbers for
a multiplication than with whole vectors (AVX2: 7 registers for 12 instead of 8 for 8), and adds them up in the same
order.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.jit.numba_internals import cgutils
from fastsoftmax.kernels.simd.target import has_many_registers, has_mask_registers
from fastsoftmax.kernels.simd.tiles import (
    NUMBER,
    NUMBER_OF,
    Part,
    Place,
    add_products,
    by_case,
    constant_of_target,
    is_place,
    less,
    load,
    smaller,
    store,
)
from fastsoftmax.kernels.simd.types import INT32, VECTOR_BITS, Vector, check_writable, joined

__all__ = ["dot_tile", "dot_tile_classes"]

PACKED_VECTORS = 64  # of a class at the most: then those of a tile, copied, stay in L1
PACKED_CLASSES = 3  # at least: with fewer, most numbers that a tile loads are those of X
PACKED_TILES = 4  # rows of more tiles than that are worth a copy
MOST_ROWS = 8  # of a tile, which has a pointer to each

# Registers are for the sums, for the numbers of one factor, and one for what they are multiplied with


def _sums_in_registers(context):
    return 16 if has_mask_registers(context) else 24 if has_many_registers(context) else 12


def _most_classes(context):
    return 5 if has_mask_registers(context) else 6 if has_many_registers(context) else 4


dot_tile_classes = constant_of_target(_most_classes)


@intrinsic
def dot_tile(typingctx, x, n_rows, w, n_classes, depth, bias, first, adds, out):
    if not (is_place(x) and is_place(w) and is_place(out)):
        return None
    check_writable(out[0])

    def codegen(context, builder, signature, args):
        tile = _DotTile(context, builder, signature.args, args)
        by_case(builder, args[3], [(n, lambda n=n: tile.all_rows(n)) for n in range(1, _most_classes(context) + 1)])
        return context.get_dummy_value()

    taken = (x, NUMBER, w, NUMBER, NUMBER, bias, NUMBER, types.boolean, out)
    return types.void(*taken), codegen


class _DotTile:
    """The code of one `dot_tile`, being written."""

    def __init__(self, context, builder, kinds, args):
        self.context, self.builder, self.vector = context, builder, Vector(kinds[0][0].dtype)
        self.x, self.w, self.out = (Place(context, builder, kinds[i], args[i]) for i in (0, 2, 8))
        _, self.n_rows, _, _, self.depth, bias, first, adds, _ = args
        self.full = builder.sub(self.depth, builder.srem(self.depth, NUMBER_OF(self.vector.count)))
        # what is added to a row of sums
        self.start = builder.select(adds, self.out.address(NUMBER_OF(0), NUMBER_OF(0)), builder.gep(bias, [first]))
        self.start_stride = builder.select(adds, self.out.stride, NUMBER_OF(0))
        self.part = Part(context, self.vector)
        self.sums = [cgutils.alloca_once(builder, self.part.llvm) for _ in range(_sums_in_registers(context))]
        self.packed = _lines_on_stack(builder, self.vector, PACKED_VECTORS * _most_classes(context))

    def all_rows(self, n_classes):
        """Tile after tile of the products with so many classes."""
        builder, vector = self.builder, self.vector
        height = min(MOST_ROWS, len(self.sums) // n_classes)
        classes = self._pack(n_classes, builder.icmp_signed(">", self.n_rows, NUMBER_OF(PACKED_TILES * height)))
        last = builder.sub(self.n_rows, NUMBER_OF(1))
        with cgutils.for_range_slice(builder, NUMBER_OF(0), self.n_rows, NUMBER_OF(height)) as (first, _):
            # where no rows are left, the last one once more
            rows = [smaller(builder, builder.add(first, NUMBER_OF(i)), last) for i in range(height)]
            parts = [self._sums_of(rows, *classes, start) for start in range(0, vector.count, self.part.count)]
            while len(parts) > 1:
                parts = [
                    [joined(builder, *pair) for pair in zip(low, high, strict=True)]
                    for low, high in zip(parts[::2], parts[1::2], strict=True)
                ]
            self._put(rows, parts[0], n_classes)

    def _pack(self, n_classes, pays):
        """The rows of w: pointers to the first vectors of each, and how many numbers each vector is moved on by.

        They are copied if it pays: vector by vector side by side, each a line of the cache. The numbers of an array of
        NumPy's are seldom at the start of a line, and a load from two lines counts as two (AVX-512, 960 rows, 784
        features, 100 classes: 182 GFLOP/s, and 235 of a copy).
        """
        builder, vector = self.builder, self.vector
        if n_classes < PACKED_CLASSES:
            return [self.w.address(NUMBER_OF(j), NUMBER_OF(0)) for j in range(n_classes)], NUMBER_OF(1)

        def copy(d, count=None):
            for j in range(n_classes):
                value = load(self.context, builder, vector, self.w.address(NUMBER_OF(j), d), count)
                at = builder.add(builder.mul(d, NUMBER_OF(n_classes)), NUMBER_OF(j * vector.count))
                store(self.context, builder, vector, value, builder.gep(self.packed, [at]))

        fits = builder.icmp_signed("<=", self.depth, NUMBER_OF(PACKED_VECTORS * vector.count))
        copies = builder.and_(pays, fits)
        with builder.if_then(copies):
            with cgutils.for_range_slice(builder, NUMBER_OF(0), self.full, NUMBER_OF(vector.count)) as (d, _):
                copy(d)
            with builder.if_then(builder.icmp_signed("<", self.full, self.depth)):
                copy(self.full, builder.sub(self.depth, self.full))
        first = builder.select(copies, self.packed, self.w.address(NUMBER_OF(0), NUMBER_OF(0)))
        stride = builder.select(copies, NUMBER_OF(vector.count), self.w.stride)
        step = builder.select(copies, NUMBER_OF(n_classes), NUMBER_OF(1))
        return [builder.gep(first, [builder.mul(NUMBER_OF(j), stride)]) for j in range(n_classes)], step

    def _sums_of(self, rows, classes, step, start):
        """The partial sums of the rows and classes, row by row: of a part of each vector, from lane `start` on."""
        builder, part, none, sums = self.builder, self.part, NUMBER_OF(0), self.sums[: len(rows) * len(classes)]
        xs = [self.x.address(row, NUMBER_OF(start)) for row in rows]
        ws = [builder.gep(place, [NUMBER_OF(start)]) for place in classes]

        def accumulate(d, count=None):
            def load_at(place, at):
                return lambda: load(self.context, builder, part, builder.gep(place, [at]), count)

            left = [load_at(x, d) for x in xs]
            right = [load_at(w, builder.mul(d, step)) for w in ws]
            add_products(builder, part, left, right, sums)

        for place in sums:
            builder.store(ir.Constant(part.llvm, None), place)
        with cgutils.for_range_slice(builder, none, self.full, NUMBER_OF(self.vector.count)) as (d, _):
            accumulate(d)
        left = builder.sub(self.depth, builder.add(self.full, NUMBER_OF(start)))
        with builder.if_then(builder.icmp_signed("<", self.full, self.depth)):  # zeros, too, are added: -0 becomes 0
            accumulate(self.full, builder.select(less(builder, 0, left), left, none))
        return [builder.load(place) for place in sums]

    def _put(self, rows, sums, n_classes):
        """The partial sums added up, and to what is there."""
        builder, vector = self.builder, self.vector
        # what to load and store a row of the tile as, and the count of a mask
        few = (vector, NUMBER_OF(n_classes)) if has_mask_registers(self.context) else (_Few(vector, n_classes), None)
        totals = [_totals(builder, vector, sums[g : g + vector.count]) for g in range(0, len(sums), vector.count)]
        values = []
        for i, row in enumerate(rows):  # all are loaded before one is stored: the last may be there more than once
            address = builder.gep(self.start, [builder.mul(row, self.start_stride)])
            start = load(self.context, builder, few[0], address, few[1])
            values.append(builder.fadd(start, _lanes(builder, vector, totals, i * n_classes, few[0].count)))
        for row, value in zip(rows, values, strict=True):
            store(self.context, builder, few[0], value, self.out.address(row, NUMBER_OF(0)), few[1])


class _Few:
    """The first `count` elements of a vector."""

    def __init__(self, vector, count):
        self.kind, self.count, self.llvm = vector.kind, count, ir.VectorType(vector.llvm.element, count)


def _lines_on_stack(builder, vector, count):
    """Room for so many vectors, each a line of the cache. (To align the stack itself would cost a register.)"""
    line = VECTOR_BITS // 8
    room = cgutils.alloca_once(builder, ir.IntType(8), size=INT32((count + 1) * line))
    address = builder.add(builder.ptrtoint(room, NUMBER_OF), NUMBER_OF(line - 1))
    return builder.inttoptr(builder.and_(address, NUMBER_OF(-line)), vector.llvm.element.as_pointer())


def _totals(builder, vector, sums):
    """One vector whose lane i is the sum of the lanes of sums[i]: halves added, then quarters, ..."""
    sums = sums + [ir.Constant(vector.llvm, None)] * (vector.count - len(sums))
    apart, kind = vector.count // 2, ir.VectorType(INT32, vector.count)
    while apart:
        kept = [lane + (vector.count if lane & apart else 0) for lane in range(vector.count)]
        crossed = [(lane ^ apart) + (vector.count if lane & apart else 0) for lane in range(vector.count)]
        sums, apart = (
            [
                builder.fadd(*(builder.shuffle_vector(a, b, ir.Constant(kind, order)) for order in (kept, crossed)))
                for a, b in zip(sums[:apart], sums[apart:], strict=True)
            ],
            apart // 2,
        )
    return sums[0]


def _lanes(builder, vector, vectors, start, count):
    """`count` lanes from lane `start` on of vectors side by side."""
    first = start // vector.count
    pair = [*vectors[first : first + 2], ir.Constant(vector.llvm, ir.Undefined)][:2]
    lanes = [min(start - first * vector.count + i, 2 * vector.count - 1) for i in range(count)]
    return builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(INT32, count), lanes))
