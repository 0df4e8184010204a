"""From a checkpoint to results: stepping, predicting, folding values that weights decide, and the
process in which `interop` runs MXNet."""
