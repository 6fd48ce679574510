"""What a process that outlives its starter needs: to be found, to be alone, to be stopped; import from the modules."""
