"""The sample workspace: thirty days of a small shop product, told through the real door."""
