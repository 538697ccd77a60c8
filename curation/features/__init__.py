"""Features of pictures by a network, and what they are worth: k-NN, linear probe, alignment."""
