"""What the tests stand on: real nodes, a real Redis, and clients that share no code with Fanwire."""
