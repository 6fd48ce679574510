"""`teleporter-lab demo`: the first stream on a real data set, killed half way, and the proof that nothing is lost."""
