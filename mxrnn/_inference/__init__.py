"""From a checkpoint to results: stepping, predicting, and folding values that weights decide."""
