"""How fast the grid is, each number beside a peer measured in the same run."""
