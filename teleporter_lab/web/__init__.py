"""What the HTTP doors of the daemons share: who may come in, what an error looks like, the server underneath."""
