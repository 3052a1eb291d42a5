"""Work dealt out to threads, in compiled code: who calls a kernel leads, and helpers that are awake join in.

The work is a function of a span of rows or pieces, `span(first, last, *arguments)`, and their number. Without a team
(address 0) it is called once, for all of them; with one, as a job on its board (board.py).
"""

from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.board import lead, team_size
from fastsoftmax.kernels.closures import call, closure_in, raise_status
from fastsoftmax.kernels.jit import inlined, routine
from fastsoftmax.kernels.jit.numba_internals import cgutils, config

GRAIN = 16_384  # elements that a thread takes at a time, at the most, but one row: 2 to 10 us
SIDE_BY_SIDE = 16  # rows: of as many a grain has a multiple, unless it has fewer, because they fill a vector's lanes
LEAST_GRAIN = 4_096  # elements; above, a thread's share has two grains at least
SMALL = 24_576  # elements: below, one thread is enough, and the overhead of a call counts


@intrinsic
def share(typingctx, team, n_rows, n_columns, span, arguments):
    """span(first, last, *arguments) for all of n_rows rows; in grains of about GRAIN elements if there is a team."""
    return _dealt(typingctx, _share_rows, (n_rows, n_columns), span, arguments)


@intrinsic
def share_each(typingctx, team, n_pieces, span, arguments):
    """span(first, last, *arguments) for all pieces of work, one at a time, begun in their order."""
    return _dealt(typingctx, _share_pieces, (n_pieces,), span, arguments)


@inlined
def share_near(team, job, n_pieces):
    """The same for a closure `job`, in any order: a thread begins with the pieces that it had before, near to it."""
    if team == 0:
        call(job, (0, n_pieces))
    else:
        raise_status(lead(team, job, n_pieces, 1, team_size(team)))


def _dealt(typingctx, dealer, counts, span, arguments):
    # An intrinsic, because `*arguments` of arrays, as Numba compiles it, takes 20 ms in each of 80 places
    number, closure = types.intp, types.UniTuple(types.int64, 2)
    counts, dealer = [number] * len(counts), typingctx.resolve_value_type(dealer)
    called = span.get_call_type(typingctx, (number, number, *arguments.types), {})
    dealt = dealer.get_call_type(typingctx, (number, closure, *counts), {})

    def codegen(context, builder, signature, args):
        team, *counts, _, values = args
        none = team.type(0)
        with builder.if_else(builder.icmp_unsigned("==", team, none)) as (alone, together):
            with alone:
                given = cgutils.unpack_tuple(builder, values, len(arguments.types))
                context.get_function(span, called)(builder, [none, counts[0], *given])
            with together:
                job = closure_in(context, builder, span, called, arguments, values)
                context.get_function(dealer, dealt)(builder, [team, job, *counts])
        return context.get_dummy_value()

    return types.void(number, *counts, span, arguments), codegen


@routine(deferred=True)
def _share_rows(team, job, n_rows, n_columns):
    elements = max(LEAST_GRAIN, min(GRAIN, n_rows * n_columns // (2 * team_size(team))))
    rows = max(1, elements // max(1, n_columns))
    rows -= rows % SIDE_BY_SIDE if rows > SIDE_BY_SIDE else 0
    raise_status(lead(team, job, n_rows, rows, team_size(team)))


@routine(deferred=True)
def _share_pieces(team, job, n_pieces):
    raise_status(lead(team, job, n_pieces, 1, 1))


if config.DISABLE_JIT:  # without machine code there is nothing to gain from threads

    def share(team, n_rows, n_columns, span, arguments):
        """All rows in one go."""
        span(0, n_rows, *arguments)

    def share_each(team, n_pieces, span, arguments):
        """All pieces in one go."""
        span(0, n_pieces, *arguments)

    def share_near(team, job, n_pieces):
        """All pieces in one go."""
        job(0, n_pieces)
