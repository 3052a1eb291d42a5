"""From what callers hand in to what kernels take: arrays, targets, samples, numbers, and every error message."""
