"""What the names of simd/__init__.py that swap rows and columns are in compiled code.

Packed rows come side by side into a tile and go back by blocks: BLOCK columns of as many rows as a register of 32 bytes
(AVX-512: 64) has elements, a part of BLOCK elements a row, swapped within those parts; the tile's side is a whole
register (with AVX-512, too, twice as fast as 16 x 16 under masks). A block that is not full reads past its rows, and
what it writes past a row is the next row's.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.jit import inlined, linked
from fastsoftmax.kernels.simd.memory import lanes
from fastsoftmax.kernels.simd.target import has_mask_registers
from fastsoftmax.kernels.simd.types import (
    INT32,
    Vector,
    call_in,
    check_writable,
    first_in,
    is_pointer_to_floats,
    joined,
    part_of,
    place_in,
)

__all__ = ["gather", "scatter", "transpose"]

BLOCK = 4


@inlined
def gather(source, position, rows, columns, ahead, tile, at):
    width = lanes(source)
    whole = columns - columns % BLOCK
    end = columns if whole + BLOCK - columns <= ahead else whole
    for c in range(0, end, BLOCK):
        for r in range(0, width, _block_height(source)):
            if rows == width:
                _gather_block(source, position + c, columns, r, width, tile, at + c * width)
            else:
                _gather_block(source, position + c, columns, r, rows, tile, at + c * width)
    if end < columns:
        _gather_last(source, position, rows, columns, tile, at)


@linked
def _gather_last(source, position, rows, columns, tile, at):
    # the columns that do not fill a block, at the end of an array
    width = lanes(source)
    for c in range(columns - columns % BLOCK, columns):
        for r in range(width):
            tile[at + c * width + r] = source[position + min(r, rows - 1) * columns + c]


@inlined
def scatter(tile, at, rows, columns, target, position, spill):
    width = lanes(target)
    whole = columns - columns % BLOCK
    if whole < columns:  # first: what a row spills over is the next row's, which is stored after it
        if rows == width and whole + BLOCK - columns <= spill:
            for r in range(0, width, _block_height(target)):
                _scatter_block(tile, at + whole * width, r, width, target, position + whole, columns)
        else:
            _scatter_last(tile, at, rows, columns, target, position, spill)
    for c in range(0, whole, BLOCK):
        for r in range(0, width, _block_height(target)):
            if rows == width:
                _scatter_block(tile, at + c * width, r, width, target, position + c, columns)
            else:
                _scatter_block(tile, at + c * width, r, rows, target, position + c, columns)


@linked
def _scatter_last(tile, at, rows, columns, target, position, spill):
    # the columns that do not fill a block, before what must stay: whole blocks of the rows whose spill is allowed
    width, whole = lanes(target), columns - columns % BLOCK
    stored, end = 0, rows * columns + spill
    while stored < rows and stored * columns + whole + BLOCK <= end:
        stored += 1
    for r in range(0, width, _block_height(target)):
        _scatter_block(tile, at + whole * width, r, stored, target, position + whole, columns)
    for r in range(stored, rows):
        for c in range(whole, columns):
            target[position + r * columns + c] = tile[at + c * width + r]


@intrinsic
def _block_height(typingctx, like):
    # rows of a block of BLOCK columns: as many as a register of 32 bytes, or of AVX-512's 64, has elements
    def codegen(context, builder, signature, args):
        return context.get_constant(types.intp, _height(context, like))

    return types.intp(like), codegen


def _height(context, like):
    return (512 if has_mask_registers(context) else 256) // like.dtype.bitwidth


def _swapped(builder, lines):
    """Four vectors of some parts of BLOCK elements: part for part, rows and columns swapped."""
    starts = range(0, lines[0].type.count, BLOCK)

    def mixed(a, b, *order):  # of the elements of both, those of the second from BLOCK on
        numbers = [start + (n if n < BLOCK else n - BLOCK + a.type.count) for start in starts for n in order]
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, a.type.count), numbers))

    if lines[0].type.element == ir.DoubleType():  # in registers of 16 bytes first, of which each holds two
        even = [mixed(lines[r], lines[r + 1], 0, 4, 2, 6) for r in (0, 2)]
        odd = [mixed(lines[r], lines[r + 1], 1, 5, 3, 7) for r in (0, 2)]
        return [mixed(*pair, *order) for order in ((0, 1, 4, 5), (2, 3, 6, 7)) for pair in (even, odd)]
    low = [mixed(lines[r], lines[r + 1], 0, 4, 1, 5) for r in (0, 2)]
    high = [mixed(lines[r], lines[r + 1], 2, 6, 3, 7) for r in (0, 2)]
    return [mixed(*pair, *order) for pair in (low, high) for order in ((0, 1, 4, 5), (2, 3, 6, 7))]


def _swapped_8_x_4(builder, rows):
    """Eight rows of four float64, a half of a register of 64 bytes each, as four columns of eight."""
    kind = ir.VectorType(INT32, 8)

    def mixed(a, b, *order):
        return builder.shuffle_vector(a, b, ir.Constant(kind, order))

    # rows 0 and 2 in a register, 1 and 3, 4 and 6, 5 and 7: then each step takes a half from either register
    pairs = [(joined(builder, rows[r], rows[r + 2]), joined(builder, rows[r + 1], rows[r + 3])) for r in (0, 4)]
    even = [mixed(*pair, 0, 8, 2, 10, 4, 12, 6, 14) for pair in pairs]
    odd = [mixed(*pair, 1, 9, 3, 11, 5, 13, 7, 15) for pair in pairs]
    orders = ((0, 1, 4, 5, 8, 9, 12, 13), (2, 3, 6, 7, 10, 11, 14, 15))
    return [mixed(*halves, *order) for order in orders for halves in (even, odd)]


def _line_of(builder, pointer, position, kind):
    return builder.bitcast(builder.gep(pointer, [position]), kind.as_pointer())


def _columns_of(builder, rows):
    """Four, eight or sixteen rows of BLOCK elements as BLOCK columns."""
    if len(rows) == 8 and rows[0].type.element == ir.DoubleType():
        return _swapped_8_x_4(builder, rows)
    return _swapped(builder, _stacked(builder, rows))


def _stacked(builder, rows):
    """As many vectors as BLOCK, of parts: row r is in vector r % BLOCK."""
    if len(rows) == BLOCK:
        return rows
    halves = (_stacked(builder, half) for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]))
    return [joined(builder, a, b) for a, b in zip(*halves, strict=True)]


@intrinsic
def _gather_block(typingctx, source, position, stride, first, rows, tile, tile_position):
    # BLOCK columns of the rows from `first` on, of which the last one stands in for those that are not there
    check_writable(tile)
    vector, align = Vector(source.dtype), source.dtype.bitwidth // 8
    part = ir.VectorType(vector.llvm.element, BLOCK)

    def codegen(context, builder, signature, args):
        x, position, stride, first, rows, y, tile_position = args
        last, lines = builder.sub(rows, rows.type(1)), []
        for n in range(_height(context, source)):
            row = builder.add(first, first.type(n))
            row = builder.select(builder.icmp_signed("<", row, rows), row, last)
            here = builder.add(position, builder.mul(row, stride))
            lines.append(builder.load(_line_of(builder, x, here, part), align=align))
        for c, column in enumerate(_columns_of(builder, lines)):
            there = builder.add(builder.add(tile_position, first), first.type(c * vector.count))
            builder.store(column, _line_of(builder, y, there, column.type), align=align)
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i, i, i, tile, i), codegen


@intrinsic
def _scatter_block(typingctx, tile, tile_position, first, rows, target, position, stride):
    # BLOCK columns of the rows from `first` on, up to `rows`
    check_writable(target)
    vector, align = Vector(target.dtype), target.dtype.bitwidth // 8

    def codegen(context, builder, signature, args):
        height = _height(context, target)
        line = ir.VectorType(vector.llvm.element, height)
        x, tile_position, first, rows, y, position, stride = args
        columns = []
        for c in range(BLOCK):
            here = builder.add(builder.add(tile_position, first), first.type(c * vector.count))
            columns.append(builder.load(_line_of(builder, x, here, line), align=align))
        lines = _swapped(builder, columns)
        parts = [part_of(builder, row, start, BLOCK) for start in range(0, height, BLOCK) for row in lines]
        for n, part in enumerate(parts):
            row = builder.add(first, first.type(n))
            there = builder.add(position, builder.mul(row, stride))
            with builder.if_then(builder.icmp_signed("<", row, rows)):
                builder.store(part, _line_of(builder, y, there, part.type), align=align)
        return context.get_dummy_value()

    i = types.intp
    return types.void(tile, i, i, i, target, i, i), codegen


@inlined
def transpose(source, position, stride, rows, columns, target, target_position, target_stride):
    if _has_mask_registers():
        _transpose_whole(source, position, stride, rows, columns, target, target_position, target_stride)
    else:  # 16 x 16 do not fit into 16 registers
        _transpose_by_blocks(source, position, stride, rows, columns, target, target_position, target_stride)


@intrinsic
def _has_mask_registers(typingctx):
    def codegen(context, builder, signature, args):
        return context.get_constant(types.boolean, has_mask_registers(context))

    return types.boolean(), codegen


@inlined
def _transpose_by_blocks(source, position, stride, rows, columns, target, target_position, target_stride):
    whole_rows, whole_columns = rows - rows % BLOCK, columns - columns % BLOCK
    for c in range(0, whole_columns, BLOCK):
        for r in range(0, whole_rows, BLOCK):
            here, there = position + r * stride + c, target_position + c * target_stride + r
            _transpose_block(source, here, stride, target, there, target_stride)
    for r in range(rows):
        for c in range(whole_columns if r < whole_rows else 0, columns):
            target[target_position + c * target_stride + r] = source[position + r * stride + c]


@intrinsic
def _transpose_block(typingctx, source, position, stride, target, target_position, target_stride):
    if not is_pointer_to_floats(source):
        return None
    check_writable(target)

    def codegen(context, builder, signature, args):
        x, position, stride, y, target_position, target_stride = args
        kind = ir.VectorType(Vector(source.dtype).llvm.element, BLOCK)
        align = source.dtype.bitwidth // 8

        def address(pointer, start, step, number):
            here = builder.add(start, builder.mul(step, start.type(number)))
            return builder.bitcast(builder.gep(pointer, [here]), kind.as_pointer())

        rows = [builder.load(address(x, position, stride, r), align=align) for r in range(BLOCK)]
        for c, column in enumerate(_swapped(builder, rows)):
            builder.store(column, address(y, target_position, target_stride, c), align=align)
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i, target, i, i), codegen


@intrinsic
def _transpose_whole(typingctx, source, position, stride, rows, columns, target, target_position, target_stride):
    if not is_pointer_to_floats(source):
        return None
    check_writable(target)
    vector = Vector(source.dtype)

    def codegen(context, builder, signature, args):
        x, position, stride, rows, columns, y, target_position, target_stride = args
        align = INT32(vector.kind.bitwidth // 8)
        number = position.type
        none = ir.Constant(number, 0)
        tile = []
        for r in range(vector.count):
            here = builder.add(position, builder.mul(stride, number(r)))
            inside = builder.icmp_signed("<", number(r), rows)
            mask = first_in(builder, builder.select(inside, columns, none), vector)
            place = place_in(context, builder, source, x, builder.select(inside, here, position), vector.llvm)
            empty = ir.Constant(vector.llvm, None)
            tile.append(
                call_in(builder, f"llvm.masked.load.{vector.suffix}.p0", vector.llvm, [place, align, mask, empty])
            )
        # swap blocks of width 1, 2, 4, 8 between pairs of rows that far apart
        width = 1
        while width < vector.count:
            swapped = list(tile)
            low = [i + (vector.count if i & width else 0) - (width if i & width else 0) for i in range(vector.count)]
            high = [(i if i & width else i + width) + (vector.count if i & width else 0) for i in range(vector.count)]
            kind = ir.VectorType(INT32, vector.count)
            for r in range(vector.count):
                if not r & width:
                    a, b = tile[r], tile[r + width]
                    swapped[r] = builder.shuffle_vector(a, b, ir.Constant(kind, low))
                    swapped[r + width] = builder.shuffle_vector(a, b, ir.Constant(kind, high))
            tile = swapped
            width *= 2
        for c in range(vector.count):
            here = builder.add(target_position, builder.mul(target_stride, number(c)))
            inside = builder.icmp_signed("<", number(c), columns)
            mask = first_in(builder, builder.select(inside, rows, none), vector)
            place = place_in(context, builder, target, y, builder.select(inside, here, target_position), vector.llvm)
            call_in(builder, f"llvm.masked.store.{vector.suffix}.p0", ir.VoidType(), [tile[c], place, align, mask])
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i, i, i, target, i, i), codegen
