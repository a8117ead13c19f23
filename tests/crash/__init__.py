"""Nothing accepted is lost: the real program, killed, cut off, and robbed of its disk under load."""
