"""How records move: chunked, pulled, back-pressured. Standard library only; knows no connector, config or cluster."""
