"""Looking at a case along any direction in scanner space: how planes lie in it, how they are cut, and looked up again."""
