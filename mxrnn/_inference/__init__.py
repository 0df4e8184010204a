"""From a checkpoint to answers: stepping, predicting, and folding what the weights decide."""
