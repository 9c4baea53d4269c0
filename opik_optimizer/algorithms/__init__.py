"""The six algorithms, each on ``Session`` alone and independent of the others."""
