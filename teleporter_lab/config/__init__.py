"""What a person writes: keys, typed nodes, durations, references and the forms for them; pure."""
