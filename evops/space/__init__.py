"""Where neurons lie, and functions of the distance between them."""
