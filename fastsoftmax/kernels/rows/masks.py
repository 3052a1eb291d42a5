"""Elements that are left out: hidden before a kernel reads them, and set to what they get after it."""

from fastsoftmax.kernels.jit import kernel, routine
from fastsoftmax.kernels.simd import lanes, load_mask, load_masked, pointer, select, splat, store_masked
from fastsoftmax.kernels.threads import share


@kernel
def hide(x, shown, value, out, team):
    # out_j = x_j where shown_j (bool), else the value; x, shown, out (M,); out may be x
    share(team, x.size, 1, _hide_span, (x, shown, value, out))


@routine
def _hide_span(first, last, x, shown, value, out):
    instead = splat(out, value)
    for j in range(first, last, lanes(out)):
        some = min(lanes(out), last - j)
        mask = load_mask(pointer(shown), j, some, out)
        store_masked(select(mask, load_masked(pointer(x), j, some, 0), instead), pointer(out), j, some)
