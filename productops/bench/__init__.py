"""Benches: each figure beside the limit of the machine it was measured on. `bin/bench --help`."""
