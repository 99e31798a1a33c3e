"""The rehearsal of a client: one run for each act of the atlas, and what its conduct says about it."""
